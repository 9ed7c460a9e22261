// Definitions of predict.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorIndexing.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <map>
#include <new>

#include "deeplight/infer/predict.hpp"
#include "deeplight/infer/predict_checks_inl.hpp"
#include "deeplight/infer/self_ensemble.hpp"
#include "deeplight/raster/tile_plan.hpp"

namespace deeplight {

namespace detail {

/// Evaluation mode for a while.
class EvaluationMode {
 public:
  explicit EvaluationMode(Network& network)
      : network_(network), was_training_(network.is_training()) {
    if (was_training_) network_.eval();
  }
  ~EvaluationMode() {
    if (was_training_) network_.train();
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  Network& network_;
  bool was_training_;
};

/// [1, bands, rows, columns] over the array's memory.
template <class Array>
at::Tensor view_of(Array& array) {
  const auto shape = array.shape();
  return at::from_blob(array.data(),
                       {1, static_cast<std::int64_t>(shape[0]), static_cast<std::int64_t>(shape[1]),
                        static_cast<std::int64_t>(shape[2])},
                       sizeof(*array.data()) == 1 ? at::kByte : at::kFloat);
}

/// The part `window` of a tensor [..., H, W] whose first pixel is (row, column).
inline at::Tensor cut(const at::Tensor& image, const Window& window, std::int64_t row = 0,
                      std::int64_t column = 0) {
  return image.narrow(-2, window.row - row, window.rows)
      .narrow(-1, window.column - column, window.columns);
}

/// One raster on its way through a network.
class RasterPrediction {
 public:
  RasterPrediction(Network& network, const Card& card, const Preprocessor& preprocessor,
                   const PredictRequest& request, const PredictJob& job)
      : network_(network),
        preprocessor_(preprocessor),
        request_(request),
        job_(job),
        card_(card),
        scale_(network.scale()),
        halo_(network.margin() + preprocessor.margin()),
        grid_(job.low_resolution.grid()),
        plan_(grid_.rows, grid_.columns, request.tile, halo_, network.tile_multiple()),
        symmetries_(symmetries(request.self_ensemble)) {
    const auto parameters = network.parameters();
    if (!parameters.empty()) device_ = parameters.front().device();
  }

  /// @param after_tile  called after each tile
  RasterReport run(const std::function<void()>& after_tile, std::vector<std::string>& warnings) {
    const auto start = std::chrono::steady_clock::now();
    low_resolution_ = job_.low_resolution.read();
    const LightSummary light = summarise(low_resolution_);
    normalised_ =
        preprocessor_
            .low_resolution(view_of(low_resolution_.values), view_of(low_resolution_.valid))
            .to(device_);
    for (const Symmetry& symmetry : symmetries_) {
      statistics_.push_back(network_.image_statistics(symmetry.apply(normalised_)));
    }
    RasterWriter writer(job_.output, grid_.refined(scale_), 1, writer_options());
    for (std::int64_t index = 0; index < plan_.size(); ++index) {
      write_tile(plan_[index], writer);
      after_tile();
    }
    RasterReport report;
    report.low_resolution = job_.low_resolution.info().path;
    report.output = job_.output;
    report.valid_pixels = light.valid;
    report.invalid_pixels = grid_.rows * grid_.columns - light.valid;
    report.tiles = plan_.size();
    const auto area = static_cast<double>(scale_ * scale_);
    report.mean_in = light.sum / static_cast<double>(light.valid);
    report.mean_out = light_out_ / std::max(1.0, static_cast<double>(pixels_out_));
    report.light_ratio = light_out_ == 0 && light.sum == 0 ? 1.0 : light_out_ / area / light.sum;
    if (not_finite_ > 0) {
      warnings.push_back(concat(not_finite_, " pixels of '", job_.output.string(),
                                "' came out of the network as NaN or infinity and are nodata"));
    }
    writer.set_metadata("DEEPLIGHT_LIGHT_RATIO", concat(report.light_ratio));
    writer.close();
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

 private:
  RasterWriterOptions writer_options() const {
    const BandInfo& band = job_.low_resolution.info().bands.front();
    const ImageDescription& trained = card_.preprocessing.low_resolution;
    const ImageDescription& output = card_.preprocessing.output;
    RasterWriterOptions options;
    options.compression = request_.compression;
    options.nodata = job_.nodata;
    options.overwrite = request_.overwrite;
    if (!band.name.empty()) options.band_names = {band.name};
    const bool converts = !output.units.empty() && output.units != trained.units;
    options.units = converts || band.units.empty() ? output.units : band.units;
    options.metadata = {{"DEEPLIGHT_VERSION", version},
                        {"DEEPLIGHT_MODEL", card_.name.empty() ? card_.architecture : card_.name},
                        {"DEEPLIGHT_SCALE", concat(scale_)},
                        {"DEEPLIGHT_CONSISTENCY", enum_to_string(request_.consistency)}};
    return options;
  }

  void write_tile(const Tile& tile, RasterWriter& writer) {
    const Window& owner = tile.owner;
    at::Tensor image = preprocessor_.restore(compute(tile).to(at::kCPU));
    const at::Tensor coarse = cut(view_of(low_resolution_.values), owner);
    if (request_.consistency != Consistency::none) {
      image = functional::enforce_block_mean(image, coarse, scale_, request_.consistency);
    }
    image = image.contiguous();
    const Window fine = owner.refined(scale_);
    ValueArray values = make_array<ValueArray>(1, fine.rows, fine.columns);
    ValidArray valid = make_array<ValidArray>(1, fine.rows, fine.columns);
    const float* predicted = image.const_data_ptr<float>();
    for (std::int64_t row = 0; row < fine.rows; ++row) {
      for (std::int64_t column = 0; column < fine.columns; ++column) {
        const std::int64_t index = row * fine.columns + column;
        const bool seen =
            low_resolution_.valid(0, static_cast<std::size_t>(owner.row + row / scale_),
                                  static_cast<std::size_t>(owner.column + column / scale_)) != 0;
        const bool finite = std::isfinite(predicted[index]);
        not_finite_ += seen && !finite ? 1 : 0;
        valid.data()[index] = seen && finite ? 1 : 0;
        values.data()[index] = seen && finite ? predicted[index] : 0.0F;
        if (seen && finite) {
          light_out_ += predicted[index];
          ++pixels_out_;
        }
      }
    }
    writer.write(fine, values, &valid);
  }

  /// Normalised image [1, 1, r*rows, r*columns] of the owner.
  at::Tensor compute(const Tile& tile) {
    // Each symmetry aligns its own read window to the network's multiple: read what covers all.
    const bool alone = symmetries_.size() == 1;
    const Window around = alone ? tile.read
                                : TilePlan::read_window(tile.owner, grid_.rows, grid_.columns,
                                                        halo_ + network_.tile_multiple(), 1);
    GuideTensors guides;
    for (const auto& [name, reader] : job_.guides) {
      guides[name] = prepared_guide(name, reader, around.refined(scale_));
    }
    at::Tensor sum;
    for (std::size_t index = 0; index < symmetries_.size(); ++index) {
      const at::Tensor image =
          compute_one(symmetries_[index], statistics_[index], tile.owner, around, guides);
      sum = sum.defined() ? sum + image : image;
    }
    return alone ? sum : sum / static_cast<double>(symmetries_.size());
  }

  /// A guide's window [1, channels, rows, columns], normalised. Read and prepared in strips: the
  /// double precision of the preparation would otherwise need several times the guide's memory.
  at::Tensor prepared_guide(const std::string& name, const RasterReader& reader,
                            const Window& window) const {
    constexpr std::int64_t strip_values = std::int64_t{1} << 22;
    const auto bands = static_cast<std::int64_t>(reader.info().bands.size());
    const std::int64_t strip =
        std::max<std::int64_t>(strip_values / (bands * window.columns), scale_);
    const std::int64_t reach = preprocessor_.margin() * scale_;
    at::Tensor guide;
    for (std::int64_t start = 0; start < window.rows; start += strip) {
      const std::int64_t rows = std::min(strip, window.rows - start);
      const std::int64_t first = std::max<std::int64_t>(start - reach, 0);
      const std::int64_t last = std::min(start + rows + reach, window.rows);
      Block block = reader.read({window.row + first, window.column, last - first, window.columns});
      const at::Tensor part = preprocessor_.guide(name, view_of(block.values), view_of(block.valid))
                                  .narrow(2, start - first, rows);
      if (!guide.defined()) {
        guide = at::empty({1, part.size(1), window.rows, window.columns},
                          part.options().device(device_));
      }
      guide.narrow(2, start, rows).copy_(part);
    }
    return guide;
  }

  at::Tensor compute_one(const Symmetry& symmetry, const ImageStatistics& statistics,
                         const Window& owner, const Window& around, const GuideTensors& guides) {
    const auto [rows, columns] = symmetry.size(grid_.rows, grid_.columns);
    const Window turned = symmetry.apply(owner, grid_.rows, grid_.columns);
    const Window read =
        TilePlan::read_window(turned, rows, columns, halo_, network_.tile_multiple());
    const Window source = symmetry.undo(read, grid_.rows, grid_.columns);
    GuideTensors parts;
    for (const auto& [name, guide] : guides) {
      parts[name] = symmetry.apply(
          cut(guide, source.refined(scale_), around.row * scale_, around.column * scale_));
    }
    const ImageStatistics moved = statistics.for_tile(read.row, read.column);
    const Part owned{turned.row - read.row, turned.column - read.column, turned.rows,
                     turned.columns};
    return symmetry.undo(
        network_.forward_part(symmetry.apply(cut(normalised_, source)), parts, owned, &moved));
  }

  Network& network_;
  const Preprocessor& preprocessor_;
  const PredictRequest& request_;
  const PredictJob& job_;
  const Card& card_;
  std::int64_t scale_;
  std::int64_t halo_;
  Grid grid_;
  TilePlan plan_;
  std::vector<Symmetry> symmetries_;
  at::Device device_ = at::kCPU;
  Block low_resolution_;
  at::Tensor normalised_;
  std::vector<ImageStatistics> statistics_;  // one for each symmetry
  double light_out_ = 0.0;
  std::int64_t pixels_out_ = 0;
  std::int64_t not_finite_ = 0;
};

/// Whether PyTorch's message says that memory ran out; its CPU allocator has no type of its own.
inline bool means_out_of_memory(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  return text.find("not enough memory") != std::string::npos ||
         text.find("can't allocate memory") != std::string::npos ||
         text.find("out of memory") != std::string::npos;
}

}  // namespace detail

DEEPLIGHT_INLINE PredictReport predict(Network& network, const Card& card,
                                       const PredictRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const Preprocessor preprocessor(card.preprocessing, card.scale);
  require(request.tile >= 1, "tile must be at least 1 low-resolution pixel, got ", request.tile);
  detail::check_card(network, card, preprocessor);
  detail::check_outputs(request);
  detail::check_guide_names(card, request);

  PredictReport report;
  std::vector<detail::PredictJob> jobs;
  for (std::size_t index = 0; index < request.low_resolution.size(); ++index) {
    jobs.push_back(detail::open_job(card, request, index));
    const RasterReader& reader = jobs.back().low_resolution;
    const detail::LightSummary light = detail::summarise(reader.read());
    require(light.valid > 0, "low resolution '", reader.info().path,
            "' has no valid pixel: all are nodata, NaN or masked");
    require(request.consistency != Consistency::multiplicative || light.minimum >= 0,
            "multiplicative consistency needs light of at least 0; '", reader.info().path,
            "' holds ", light.minimum);
    detail::warn_of_cell_size(card, reader.info(), report.warnings);
    detail::warn_of_values(card, reader.info(), light, report.warnings);
  }

  const at::NoGradGuard no_gradients;
  const detail::EvaluationMode evaluation(network);
  std::int64_t done = 0, total = 0;
  for (const detail::PredictJob& job : jobs) {
    total += TilePlan(job.low_resolution.grid().rows, job.low_resolution.grid().columns,
                      request.tile, 0, network.tile_multiple())
                 .size();
  }
  const auto advance = [&](std::int64_t finished) {
    done += finished;
    require<Cancelled>(!request.progress || request.progress(done, total),
                       "prediction cancelled after ", done, " of ", total, " tiles");
  };
  advance(0);
  for (const detail::PredictJob& job : jobs) {
    detail::RasterPrediction prediction(network, card, preprocessor, request, job);
    const std::string memory = concat("out of memory while predicting '", job.output.string(),
                                      "'; a smaller tile than ", request.tile, " needs less");
    try {
      report.rasters.push_back(prediction.run([&] { advance(1); }, report.warnings));
    } catch (const std::bad_alloc&) {
      throw OutOfMemory(memory);
    } catch (const c10::Error& error) {
      if (!detail::means_out_of_memory(error)) throw;
      throw OutOfMemory(memory);
    }
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace deeplight
