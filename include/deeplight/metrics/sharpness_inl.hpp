// Definitions of metrics/sharpness.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/metrics/sharpness.hpp"

namespace deeplight::metrics {
namespace detail {

/// [N, H, W] on the CPU, ready for kernels.
DEEPLIGHT_INLINE at::Tensor kernel_planes(const at::Tensor& tensor) {
  return as_planes(tensor.detach()).to(at::kCPU).resolve_neg();
}

DEEPLIGHT_INLINE at::Tensor kernel_mask(const char* metric, const char* name,
                                        const std::optional<at::Tensor>& mask,
                                        const at::Tensor& image) {
  if (!mask) return {};
  return as_planes(expand_mask(metric, name, *mask, image)).to(at::kCPU);
}

DEEPLIGHT_INLINE LocalSums local_sums(const char* metric, const at::Tensor& image,
                                      const std::optional<at::Tensor>& other,
                                      const LocalOptions& options, kernels::LocalOperator op,
                                      bool absolute, double weight, bool map) {
  check_image(metric, image);
  const at::Tensor x = kernel_planes(image), y = other ? kernel_planes(*other) : at::Tensor();
  const at::Tensor valid = kernel_mask(metric, "mask", options.mask, image);
  const at::Tensor where = kernel_mask(metric, "where", options.where, image);
  const std::int64_t lost = kernels::local_size(op) - 1, planes = x.size(0);
  const std::int64_t high = std::max<std::int64_t>(x.size(1) - lost, 0);
  const std::int64_t wide = std::max<std::int64_t>(x.size(2) - lost, 0);
  LocalSums result;
  if (map) {
    std::vector<std::int64_t> shape = image.sizes().vec();
    shape[shape.size() - 2] = high;
    shape[shape.size() - 1] = wide;
    result.map = at::empty(shape, at::kDouble);
  }
  std::vector<double> row_sums(static_cast<std::size_t>(planes * high), 0.0);
  std::vector<double> row_squares(row_sums.size(), 0.0);
  std::vector<std::int64_t> row_counts(row_sums.size(), 0);
  std::vector<kernels::LocalJob> jobs;
  for (std::int64_t i = 0; i < planes; ++i) {
    kernels::LocalJob job{.x = plane_of(x, i), .pair = y.defined()};
    if (job.pair) job.y = plane_of(y, i);
    job.mask = mask_plane_of(valid, i);
    job.where = mask_plane_of(where, i);
    job.row_sums = row_sums.data() + i * high;
    job.row_squares = row_squares.data() + i * high;
    job.row_counts = row_counts.data() + i * high;
    if (map) job.map = result.map.data_ptr<double>() + i * high * wide;
    jobs.push_back(job);
  }
  if (high > 0 && wide > 0)
    kernels::local_operator(jobs, op, absolute, weight, functional::torch_parallel());
  for (std::int64_t i = 0; i < planes; ++i) {
    kernels::ExactSum sum, squares;
    std::int64_t count = 0;
    for (std::int64_t row = i * high; row < (i + 1) * high; ++row) {
      sum.add(row_sums[row]);
      squares.add(row_squares[row]);
      count += row_counts[row];
    }
    result.sums.push_back(sum);
    result.squares.push_back(squares);
    result.counts.push_back(count);
  }
  return result;
}

DEEPLIGHT_INLINE at::Tensor reduce_local(const LocalSums& sums, const at::Tensor& image,
                                         Reduction reduction, bool variance) {
  const ImageBatch batch = image_batch(image, reduction);
  const std::int64_t per_image = static_cast<std::int64_t>(sums.sums.size()) / batch.images;
  at::Tensor scores = at::empty({batch.images}, at::kDouble), count = at::empty_like(scores);
  for (std::int64_t i = 0; i < batch.images; ++i) {
    WindowMean mean, squares;
    for (std::int64_t k = i * per_image; k < (i + 1) * per_image; ++k) {
      mean.add(sums.sums[k], sums.counts[k]);
      squares.add(sums.squares[k], sums.counts[k]);
    }
    const double m = mean.compute();
    scores.data_ptr<double>()[i] = variance ? std::max(squares.compute() - m * m, 0.0) : m;
    count.data_ptr<double>()[i] = static_cast<double>(mean.count());
  }
  return reduce(scores, count, reduction, batch.shape).to(image.device());
}

/// Bits of a histogram whose last entry counts NaN pixels, and its pixels.
DEEPLIGHT_INLINE std::pair<double, std::int64_t> entropy_of(const std::vector<std::int64_t>& bins) {
  std::int64_t pixels = 0;
  for (const std::int64_t bin : bins) pixels += bin;
  if (pixels == 0 || bins.back() > 0) return {std::numeric_limits<double>::quiet_NaN(), pixels};
  double bits = 0.0;
  for (const std::int64_t bin : bins) {
    const double share = static_cast<double>(bin) / static_cast<double>(pixels);
    if (bin > 0) bits -= share * std::log2(share);
  }
  // A single full bin leaves -0.
  return {std::max(bits, 0.0), pixels};
}

DEEPLIGHT_INLINE double check_entropy(const EntropyOptions& options) {
  require(options.bins >= 1 && options.bins <= (1 << 24),
          "entropy: bins must be 1 to 16777216, got ", options.bins);
  return check_data_range("entropy", options.data_range);
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor average_gradient(const at::Tensor& image, const LocalOptions& options) {
  const bool map = options.reduction == Reduction::map;
  const detail::LocalSums sums = detail::local_sums(
      "average_gradient", image, {}, options, kernels::LocalOperator::difference, false, 0.5, map);
  return map ? sums.map.to(image.device())
             : detail::reduce_local(sums, image, options.reduction, false);
}

DEEPLIGHT_INLINE at::Tensor laplacian_variance(const at::Tensor& image,
                                               const LocalOptions& options) {
  const bool map = options.reduction == Reduction::map;
  const detail::LocalSums sums = detail::local_sums(
      "laplacian_variance", image, {}, options, kernels::LocalOperator::laplacian, false, 1.0, map);
  return map ? sums.map.to(image.device())
             : detail::reduce_local(sums, image, options.reduction, true);
}

DEEPLIGHT_INLINE at::Tensor entropy(const at::Tensor& image, const EntropyOptions& options) {
  const double range = detail::check_entropy(options);
  detail::check_image("entropy", image);
  require(options.reduction != Reduction::map, "entropy: one value per image, there is no map");
  const at::Tensor planes = detail::kernel_planes(image);
  const at::Tensor valid = detail::kernel_mask("entropy", "mask", options.mask, image);
  const detail::ImageBatch batch = detail::image_batch(image, options.reduction);
  const std::int64_t per_image = planes.size(0) / batch.images;
  at::Tensor scores = at::empty({batch.images}, at::kDouble), count = at::empty_like(scores);
  double* score = scores.data_ptr<double>();
  double* number = count.data_ptr<double>();
  functional::torch_parallel()(0, batch.images, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::vector<std::int64_t> bins(static_cast<std::size_t>(options.bins), 0);
      std::int64_t unknown = 0;
      for (std::int64_t k = i * per_image; k < (i + 1) * per_image; ++k) {
        unknown += kernels::add_histogram(detail::plane_of(planes, k),
                                          detail::mask_plane_of(valid, k), range, bins);
      }
      bins.push_back(unknown);
      const auto [bits, pixels] = detail::entropy_of(bins);
      score[i] = bits;
      number[i] = static_cast<double>(pixels);
    }
  });
  return detail::reduce(scores, count, options.reduction, batch.shape).to(image.device());
}

DEEPLIGHT_INLINE void LocalMoments::add(const detail::LocalSums& sums) {
  for (std::size_t i = 0; i < sums.sums.size(); ++i) {
    sum_.add(sums.sums[i]);
    squares_.add(sums.squares[i]);
    count_ += sums.counts[i];
  }
}

DEEPLIGHT_INLINE void LocalMoments::merge(const LocalMoments& other) {
  sum_.add(other.sum_);
  squares_.add(other.squares_);
  count_ += other.count_;
}

DEEPLIGHT_INLINE double LocalMoments::variance() const {
  const double m = mean(), square = squares_.value() / static_cast<double>(count_);
  return std::isnan(square - m * m) ? square - m * m : std::max(square - m * m, 0.0);
}

DEEPLIGHT_INLINE std::array<double, 5> LocalMoments::state() const {
  return {sum_.high(), sum_.low(), squares_.high(), squares_.low(), static_cast<double>(count_)};
}

DEEPLIGHT_INLINE void LocalMoments::load_state(const std::array<double, 5>& state) {
  sum_ = kernels::ExactSum::restored(state[0], state[1]);
  squares_ = kernels::ExactSum::restored(state[2], state[3]);
  count_ = static_cast<std::int64_t>(state[4]);
}

DEEPLIGHT_INLINE void AverageGradientAccumulator::update(const at::Tensor& image,
                                                         const std::optional<at::Tensor>& mask,
                                                         const std::optional<at::Tensor>& where) {
  add(detail::local_sums("average_gradient", image, {}, {.mask = mask, .where = where},
                         kernels::LocalOperator::difference, false, 0.5, false));
}

DEEPLIGHT_INLINE void LaplacianVarianceAccumulator::update(const at::Tensor& image,
                                                           const std::optional<at::Tensor>& mask,
                                                           const std::optional<at::Tensor>& where) {
  add(detail::local_sums("laplacian_variance", image, {}, {.mask = mask, .where = where},
                         kernels::LocalOperator::laplacian, false, 1.0, false));
}

DEEPLIGHT_INLINE EntropyAccumulator::EntropyAccumulator(EntropyOptions options)
    : options_(std::move(options)) {
  detail::check_entropy(options_);
  options_.mask.reset();
  bins_.assign(static_cast<std::size_t>(options_.bins) + 1, 0);
}

DEEPLIGHT_INLINE void EntropyAccumulator::update(const at::Tensor& image,
                                                 const std::optional<at::Tensor>& mask) {
  detail::check_image("entropy", image);
  const at::Tensor planes = detail::kernel_planes(image);
  const at::Tensor valid = detail::kernel_mask("entropy", "mask", mask, image);
  std::int64_t unknown = bins_.back();
  bins_.pop_back();
  for (std::int64_t i = 0; i < planes.size(0); ++i) {
    unknown += kernels::add_histogram(detail::plane_of(planes, i), detail::mask_plane_of(valid, i),
                                      *options_.data_range, bins_);
  }
  bins_.push_back(unknown);
}

DEEPLIGHT_INLINE void EntropyAccumulator::merge(const EntropyAccumulator& other) {
  require(other.bins_.size() == bins_.size(), "entropy: ", other.bins_.size() - 1,
          " bins cannot be added to ", bins_.size() - 1);
  for (std::size_t i = 0; i < bins_.size(); ++i) bins_[i] += other.bins_[i];
}

DEEPLIGHT_INLINE double EntropyAccumulator::compute() const {
  return detail::entropy_of(bins_).first;
}

DEEPLIGHT_INLINE std::int64_t EntropyAccumulator::count() const {
  return detail::entropy_of(bins_).second;
}

DEEPLIGHT_INLINE void EntropyAccumulator::load_state(const std::vector<std::int64_t>& state) {
  require(state.size() == bins_.size(), "entropy: a state has ", bins_.size(), " numbers, got ",
          state.size());
  bins_ = state;
}

}  // namespace deeplight::metrics
