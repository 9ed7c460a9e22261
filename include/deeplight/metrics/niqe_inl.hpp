// Definitions of metrics/niqe.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_pinv.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <utility>

#include "deeplight/core/atomic_file.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/metrics/niqe.hpp"

namespace deeplight::metrics {
namespace detail {

inline constexpr std::int64_t niqe_width = kernels::niqe_features;

DEEPLIGHT_INLINE void check_niqe(const NiqeFeatureOptions& options) {
  check_data_range("niqe", options.data_range == 0.0 ? std::optional<double>{}
                                                     : std::optional<double>{options.data_range});
  require(options.block_size >= 8 && options.block_size % 2 == 0 && options.block_size <= 4096,
          "niqe: block_size must be even and 8 to 4096, got ", options.block_size);
}

DEEPLIGHT_INLINE void check_niqe(const NiqeModel& model) {
  check_niqe(model.options);
  const auto fits = [](const at::Tensor& tensor, at::IntArrayRef shape) {
    return tensor.defined() && tensor.scalar_type() == at::kDouble && tensor.sizes() == shape;
  };
  require(fits(model.mean, {niqe_width}) && fits(model.covariance, {niqe_width, niqe_width}),
          "niqe: a model has a float64 mean [36] and covariance [36, 36]; fit or load one");
}

/// Mean [36] and sums of products of deviations [36, 36] of features [n, 36], as one state.
DEEPLIGHT_INLINE at::Tensor niqe_state(const at::Tensor& features) {
  if (features.size(0) == 0)
    return at::zeros({1 + niqe_width + niqe_width * niqe_width}, at::kDouble);
  const at::Tensor mean = features.mean(0);
  const at::Tensor deviations = features - mean;
  return at::cat({at::full({1}, static_cast<double>(features.size(0)), at::kDouble), mean,
                  deviations.t().matmul(deviations).reshape({-1})});
}

/// Chan's update of two states.
DEEPLIGHT_INLINE at::Tensor merge_niqe(const at::Tensor& a, const at::Tensor& b) {
  const double first = a[0].item<double>(), second = b[0].item<double>();
  if (second == 0.0) return a;
  if (first == 0.0) return b;
  const at::Tensor mean_a = a.slice(0, 1, 1 + niqe_width), mean_b = b.slice(0, 1, 1 + niqe_width);
  const at::Tensor step = mean_b - mean_a;
  const double all = first + second;
  return at::cat({at::full({1}, all, at::kDouble), mean_a + step * (second / all),
                  a.slice(0, 1 + niqe_width) + b.slice(0, 1 + niqe_width) +
                      at::outer(step, step).reshape({-1}) * (first * second / all)});
}

DEEPLIGHT_INLINE double niqe_distance(const at::Tensor& state, const NiqeModel& model) {
  const double count = state[0].item<double>();
  if (count == 0.0 || !state.isfinite().all().item<bool>()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const at::Tensor scatter = state.slice(0, 1 + niqe_width).reshape({niqe_width, niqe_width});
  const at::Tensor covariance = scatter / std::max(count - 1.0, 1.0);
  const at::Tensor step = model.mean - state.slice(0, 1, 1 + niqe_width);
  const at::Tensor inverse = at::linalg_pinv((model.covariance + covariance) / 2.0);
  return std::sqrt(std::max(step.matmul(inverse).matmul(step).item<double>(), 0.0));
}

struct NiqeVerdicts {
  std::vector<kernels::NiqeBlock> blocks;
  std::int64_t planes, high, wide;

  /// Features [n, 36] of the counted blocks [begin, end) that are sharp enough.
  at::Tensor features(std::size_t begin, std::size_t end, double least) const {
    std::vector<double> values;
    for (std::size_t i = begin; i < end; ++i) {
      const kernels::NiqeBlock& block = blocks[i];
      if (!block.counted || block.sharpness < least) continue;
      values.insert(values.end(), block.features.begin(), block.features.end());
    }
    const auto rows = static_cast<std::int64_t>(values.size()) / niqe_width;
    at::Tensor result = at::empty({rows, niqe_width}, at::kDouble);
    std::copy(values.begin(), values.end(), result.data_ptr<double>());
    return result;
  }
};

DEEPLIGHT_INLINE NiqeVerdicts niqe_verdicts(const at::Tensor& image,
                                            const NiqeFeatureOptions& options,
                                            std::array<std::int64_t, 4> halo,
                                            const std::optional<at::Tensor>& mask,
                                            const std::optional<at::Tensor>& where) {
  check_niqe(options);
  check_image("niqe", image);
  const auto [top, left, bottom, right] = halo;
  const std::int64_t size = options.block_size;
  const std::int64_t rows = image.size(-2) - top - bottom, columns = image.size(-1) - left - right;
  require(rows >= size && columns >= size, "niqe: images must be at least a block of ", size, "x",
          size, " pixels, got ", rows, "x", columns);
  require(top % 2 == 0 && left % 2 == 0, "niqe: a halo begins at an even pixel, got ", top, ", ",
          left);
  const std::int64_t high = rows / size, wide = columns / size;
  require((bottom == 0 || rows % size == 0) && (right == 0 || columns % size == 0),
          "niqe: a piece that does not end with the image holds whole blocks of ", size, ", got ",
          rows, "x", columns);
  // What is no whole block is cut before any border is replicated.
  const auto cut = [&](const at::Tensor& tensor) {
    return as_planes(tensor)
        .narrow(1, 0, top + high * size + bottom)
        .narrow(2, 0, left + wide * size + right)
        .to(at::kCPU);
  };
  const auto cut_mask = [&](const std::optional<at::Tensor>& given, const char* name) {
    return given ? cut(expand_mask("niqe", name, *given, image)) : at::Tensor();
  };
  const at::Tensor planes = cut(image.detach()).resolve_neg();
  const at::Tensor valid = cut_mask(mask, "mask"), chosen = cut_mask(where, "where");
  NiqeVerdicts verdicts{{}, planes.size(0), high, wide};
  verdicts.blocks.resize(static_cast<std::size_t>(planes.size(0) * high * wide));
  std::vector<kernels::NiqeJob> jobs;
  for (std::int64_t i = 0; i < planes.size(0); ++i) {
    jobs.push_back({.image = plane_of(planes, i),
                    .mask = mask_plane_of(valid, i),
                    .where = mask_plane_of(chosen, i),
                    .first_row = top,
                    .first_column = left,
                    .rows = high * size,
                    .columns = wide * size,
                    .blocks = verdicts.blocks.data() + i * high * wide});
  }
  kernels::niqe_blocks(jobs,
                       {.data_range = options.data_range, .round = options.round, .block = size},
                       functional::torch_parallel());
  return verdicts;
}

}  // namespace detail

DEEPLIGHT_INLINE NiqeFeatures niqe_features(const at::Tensor& image,
                                            const NiqeFeatureOptions& options,
                                            const std::optional<at::Tensor>& mask,
                                            const std::optional<at::Tensor>& where) {
  const detail::NiqeVerdicts verdicts = detail::niqe_verdicts(image, options, {}, mask, where);
  std::vector<std::int64_t> shape = image.sizes().vec();
  shape[shape.size() - 2] = verdicts.high;
  shape[shape.size() - 1] = verdicts.wide;
  NiqeFeatures result;
  result.sharpness = at::empty(shape, at::kDouble);
  result.counted = at::empty(shape, at::kBool);
  shape.push_back(detail::niqe_width);
  result.features = at::empty(shape, at::kDouble);
  double* out = result.features.data_ptr<double>();
  for (std::size_t i = 0; i < verdicts.blocks.size(); ++i) {
    const kernels::NiqeBlock& block = verdicts.blocks[i];
    result.sharpness.data_ptr<double>()[i] = block.sharpness;
    result.counted.data_ptr<bool>()[i] = block.counted;
    for (const double feature : block.features) {
      *out++ = block.counted ? feature : std::numeric_limits<double>::quiet_NaN();
    }
  }
  result.features = result.features.to(image.device());
  result.sharpness = result.sharpness.to(image.device());
  result.counted = result.counted.to(image.device());
  return result;
}

DEEPLIGHT_INLINE NiqeFit::NiqeFit(NiqeFeatureOptions options, double sharpness)
    : options_(options), sharpness_(sharpness) {
  detail::check_niqe(options_);
  require(sharpness >= 0.0 && sharpness < 1.0, "niqe: sharpness must lie in [0, 1), got ",
          sharpness);
}

DEEPLIGHT_INLINE void NiqeFit::update(const at::Tensor& images,
                                      const std::optional<at::Tensor>& mask) {
  const detail::NiqeVerdicts verdicts = detail::niqe_verdicts(images, options_, {}, mask, {});
  const auto number = static_cast<std::size_t>(detail::image_batch(images, Reduction::none).images);
  const std::size_t per_image = verdicts.blocks.size() / number;
  for (std::size_t i = 0; i < number; ++i) {
    double sharpest = 0.0;
    for (std::size_t k = i * per_image; k < (i + 1) * per_image; ++k) {
      if (!verdicts.blocks[k].counted) continue;
      require(!std::isnan(verdicts.blocks[k].sharpness),
              "niqe: an image to fit holds NaN; give a mask");
      sharpest = std::max(sharpest, verdicts.blocks[k].sharpness);
    }
    features_.push_back(verdicts.features(
        i * per_image, (i + 1) * per_image,
        std::nextafter(sharpness_ * sharpest, std::numeric_limits<double>::max())));
    blocks_ += features_.back().size(0);
  }
}

DEEPLIGHT_INLINE NiqeModel NiqeFit::compute() const {
  require(blocks_ > detail::niqe_width, "niqe: a model needs more than ", detail::niqe_width,
          " sharp blocks, got ", blocks_, " of ", options_.block_size, "x", options_.block_size,
          " pixels; give more images, a lower sharpness or a smaller block_size");
  const at::Tensor state = detail::niqe_state(at::cat(features_));
  NiqeModel model{options_, blocks_, state.slice(0, 1, 1 + detail::niqe_width).clone(), {}};
  model.covariance =
      state.slice(0, 1 + detail::niqe_width).reshape({detail::niqe_width, detail::niqe_width}) /
      static_cast<double>(blocks_ - 1);
  return model;
}

DEEPLIGHT_INLINE std::string niqe_model_to_json(const NiqeModel& model) {
  detail::check_niqe(model);
  const auto numbers = [](const at::Tensor& tensor) {
    const at::Tensor flat = tensor.to(at::kCPU).contiguous();
    return std::vector<double>(flat.const_data_ptr<double>(),
                               flat.const_data_ptr<double>() + flat.numel());
  };
  Json json = Json::object();
  json["format"] = "deeplight niqe model 1";
  json["options"] = model.options;
  json["blocks"] = model.blocks;
  json["mean"] = numbers(model.mean);
  json["covariance"] = numbers(model.covariance);
  return json.dump();
}

DEEPLIGHT_INLINE NiqeModel niqe_model_from_json(const std::string& text, const std::string& name) {
  try {
    const Json json = Json::parse(text);
    require<FormatError>(json.is_object() && json.value("format", "") == "deeplight niqe model 1",
                         name,
                         ": no model of NIQE (its \"format\" is not \"deeplight niqe model "
                         "1\")");
    NiqeModel model;
    model.options = options_from_json<NiqeFeatureOptions>(json.at("options"));
    model.blocks = json.at("blocks").get<std::int64_t>();
    const auto tensor = [&](const char* key, at::IntArrayRef shape) {
      const auto values = json.at(key).get<std::vector<double>>();
      at::Tensor result = at::empty(shape, at::kDouble);
      require<FormatError>(static_cast<std::int64_t>(values.size()) == result.numel(), name, ": ",
                           key, " has ", values.size(), " numbers, expected ", result.numel());
      std::copy(values.begin(), values.end(), result.data_ptr<double>());
      return result;
    };
    model.mean = tensor("mean", {detail::niqe_width});
    model.covariance = tensor("covariance", {detail::niqe_width, detail::niqe_width});
    detail::check_niqe(model);
    return model;
  } catch (const FormatError&) {
    throw;
  } catch (const nlohmann::json::exception& error) {
    throw FormatError(concat(name, ": no model of NIQE: ", error.what()));
  } catch (const InvalidArgument& error) {
    throw FormatError(concat(name, ": ", error.what()));
  }
}

DEEPLIGHT_INLINE void save_niqe_model(const NiqeModel& model, const std::string& path) {
  write_file_atomically(path, niqe_model_to_json(model) + "\n");
}

DEEPLIGHT_INLINE NiqeModel load_niqe_model(const std::string& path) {
  return niqe_model_from_json(read_text_file(path, std::size_t{1} << 20), path);
}

DEEPLIGHT_INLINE at::Tensor niqe(const at::Tensor& image, const NiqeModel& model,
                                 const NiqeOptions& options) {
  detail::check_niqe(model);
  require(options.reduction != Reduction::map, "niqe: one value per image, there is no map");
  const detail::NiqeVerdicts verdicts =
      detail::niqe_verdicts(image, model.options, {}, options.mask, options.where);
  const detail::ImageBatch batch = detail::image_batch(image, options.reduction);
  const std::size_t per_image = verdicts.blocks.size() / static_cast<std::size_t>(batch.images);
  at::Tensor scores = at::empty({batch.images}, at::kDouble), count = at::empty_like(scores);
  for (std::int64_t i = 0; i < batch.images; ++i) {
    const auto first = static_cast<std::size_t>(i) * per_image;
    const at::Tensor features = verdicts.features(first, first + per_image, -1.0);
    scores.data_ptr<double>()[i] = detail::niqe_distance(detail::niqe_state(features), model);
    count.data_ptr<double>()[i] = static_cast<double>(features.size(0));
  }
  return detail::reduce(scores, count, options.reduction, batch.shape).to(image.device());
}

DEEPLIGHT_INLINE NiqeAccumulator::NiqeAccumulator(NiqeModel model) : model_(std::move(model)) {
  detail::check_niqe(model_);
  reset();
}

DEEPLIGHT_INLINE void NiqeAccumulator::update(const at::Tensor& piece, std::int64_t top,
                                              std::int64_t left, std::int64_t bottom,
                                              std::int64_t right,
                                              const std::optional<at::Tensor>& mask,
                                              const std::optional<at::Tensor>& where) {
  const detail::NiqeVerdicts verdicts =
      detail::niqe_verdicts(piece, model_.options, {top, left, bottom, right}, mask, where);
  const at::Tensor features = verdicts.features(0, verdicts.blocks.size(), -1.0);
  state_ = detail::merge_niqe(state_, detail::niqe_state(features));
}

DEEPLIGHT_INLINE void NiqeAccumulator::merge_state(const at::Tensor& state) {
  require(state.defined() && state.scalar_type() == at::kDouble && state.sizes() == state_.sizes(),
          "niqe: a state is float64 ", state_.sizes());
  state_ = detail::merge_niqe(state_, state.to(at::kCPU));
}

DEEPLIGHT_INLINE double NiqeAccumulator::compute() const {
  return detail::niqe_distance(state_, model_);
}

DEEPLIGHT_INLINE std::int64_t NiqeAccumulator::count() const {
  return static_cast<std::int64_t>(state_[0].item<double>());
}

DEEPLIGHT_INLINE void NiqeAccumulator::reset() {
  state_ =
      at::zeros({1 + detail::niqe_width + detail::niqe_width * detail::niqe_width}, at::kDouble);
}

}  // namespace deeplight::metrics
