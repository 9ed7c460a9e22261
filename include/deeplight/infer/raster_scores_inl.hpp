// Definitions of infer/raster_scores.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "deeplight/core/errors.hpp"
#include "deeplight/infer/raster_scores.hpp"
#include "deeplight/infer/row_queue.hpp"
#include "deeplight/metrics/brightness.hpp"
#include "deeplight/metrics/correlation.hpp"
#include "deeplight/metrics/ergas.hpp"
#include "deeplight/metrics/gradient_error.hpp"
#include "deeplight/metrics/light.hpp"
#include "deeplight/metrics/ms_ssim.hpp"
#include "deeplight/metrics/piqe.hpp"
#include "deeplight/metrics/psnr.hpp"
#include "deeplight/metrics/regression.hpp"
#include "deeplight/metrics/sam.hpp"
#include "deeplight/metrics/sharpness.hpp"
#include "deeplight/metrics/source_width.hpp"
#include "deeplight/metrics/spectral_error.hpp"
#include "deeplight/metrics/ssim.hpp"
#include "deeplight/metrics/uiqi.hpp"

namespace deeplight {
namespace detail {

/// The last `count` rows of an image [h, W].
inline at::Tensor last_rows(const at::Tensor& image, std::int64_t count) {
  return image.narrow(0, image.size(0) - count, count);
}

inline QueuedRows fresh_rows(const ScoredRows& rows) {
  return {last_rows(rows.prediction, rows.fresh), last_rows(rows.truth, rows.fresh),
          last_rows(rows.valid, rows.fresh), last_rows(rows.lit, rows.fresh)};
}

}  // namespace detail

template <class Metric>
void RasterScores::add_pointwise(const std::string& key, Metric metric, bool lit) {
  const auto sums = std::make_shared<metrics::Accumulator<Metric>>(std::move(metric));
  scores_.push_back({key,
                     [sums, lit](const ScoredRows& rows) {
                       const auto fresh = [&rows](const at::Tensor& image) {
                         return detail::last_rows(image, rows.fresh);
                       };
                       const at::Tensor valid = fresh(rows.valid);
                       sums->update(fresh(rows.prediction), fresh(rows.truth),
                                    lit ? valid.logical_and(fresh(rows.lit)) : valid);
                     },
                     [sums] { return sums->compute().template item<double>(); }});
}

template <class Accumulator>
void RasterScores::add_windowed(const std::string& key, Accumulator accumulator, bool lit) {
  const auto windows = std::make_shared<Accumulator>(std::move(accumulator));
  overlap_ = std::max(overlap_, windows->overlap());
  scores_.push_back(
      {key,
       [windows, lit](const ScoredRows& rows) {
         const std::int64_t height = std::min(rows.truth.size(0), rows.fresh + windows->overlap());
         std::optional<at::Tensor> centres;
         if (lit) centres = detail::last_rows(rows.lit, height);
         const auto last = [&](const at::Tensor& image) {
           return detail::last_rows(image, height);
         };
         const at::Tensor prediction = last(rows.prediction);
         const at::Tensor truth = last(rows.truth), valid = last(rows.valid);
         if constexpr (requires { windows->update(prediction, truth, valid, centres); }) {
           windows->update(prediction, truth, valid, centres);
         } else {  // scores of one image
           windows->update(prediction, valid, centres);
         }
       },
       [windows] { return windows->compute(); }});
}

DEEPLIGHT_INLINE void RasterScores::add_multi_scale(const RasterScoreOptions& options, bool lit) {
  metrics::MsSsimOptions scales;
  scales.data_range = options.data_range;
  const auto score = std::make_shared<metrics::MsSsimRows>(scales);
  scores_.push_back({lit ? "lit_ms_ssim" : "ms_ssim",
                     [score, lit](const ScoredRows& rows) {
                       const detail::QueuedRows fresh = detail::fresh_rows(rows);
                       std::optional<at::Tensor> where;
                       if (lit) where = fresh.lit;
                       score->update(fresh.prediction, fresh.truth, fresh.valid, where);
                     },
                     [score] { return score->compute(); }});
}

DEEPLIGHT_INLINE void RasterScores::add_spectral(bool lit) {
  const auto score = std::make_shared<metrics::SpectralAccumulator>(
      metrics::SpectralOptions{.statistic = metrics::SpectralStatistic::log});
  // A window begins at every stride: a block of one stride, the rest of the window below it.
  const auto queue = std::make_shared<detail::BlockQueue>(score->stride(), score->overlap(),
                                                          score->overlap(), false);
  scores_.push_back({lit ? "lit_spectral" : "spectral",
                     [score, queue, lit](const ScoredRows& given) {
                       queue->push(
                           detail::fresh_rows(given), given.last,
                           [&](const detail::QueuedRows& block, std::int64_t top, std::int64_t) {
                             const detail::QueuedRows rows = block.part(top, block.size() - top);
                             std::optional<at::Tensor> where;
                             if (lit) where = rows.lit;
                             score->update(rows.prediction, rows.truth, rows.valid, where);
                           });
                     },
                     [score] { return score->compute(); }});
}

DEEPLIGHT_INLINE void RasterScores::add_entropy(const RasterScoreOptions& options, bool lit) {
  const auto entropy = std::make_shared<metrics::EntropyAccumulator>(
      metrics::EntropyOptions{.data_range = options.data_range});
  scores_.push_back({lit ? "lit_entropy" : "entropy",
                     [entropy, lit](const ScoredRows& rows) {
                       const detail::QueuedRows fresh = detail::fresh_rows(rows);
                       entropy->update(fresh.prediction,
                                       lit ? fresh.valid.logical_and(fresh.lit) : fresh.valid);
                     },
                     [entropy] { return entropy->compute(); }});
}

DEEPLIGHT_INLINE void RasterScores::add_no_reference(const RasterScoreOptions& options) {
  const metrics::PiqeOptions stretched{.stretch = metrics::PiqeStretch::range,
                                       .data_range = options.data_range.value_or(0.0)};
  const auto add_piqe = [&](const std::string& key, bool lit) {
    const auto score = std::make_shared<metrics::PiqeAccumulator>(stretched);
    const auto queue =
        // The last block is filled up with mirrored rows, which may be those of the block above.
        std::make_shared<detail::BlockQueue>(kernels::piqe_block, score->halo(),
                                             kernels::piqe_block + score->halo(), false);
    scores_.push_back(
        {key,
         [score, queue, lit](const ScoredRows& rows) {
           queue->push(detail::fresh_rows(rows), rows.last,
                       [&](const detail::QueuedRows& block, std::int64_t top, std::int64_t bottom) {
                         std::optional<at::Tensor> where;
                         if (lit) where = block.lit;
                         score->update(block.prediction, {.top = top, .bottom = bottom},
                                       block.valid, where);
                       });
         },
         [score] { return score->compute(); }});
  };
  if (options.everything) {
    add_piqe("piqe", false);
    add_piqe("lit_piqe", true);
    add_entropy(options, false);
    add_entropy(options, true);
    add_windowed("average_gradient", metrics::AverageGradientAccumulator(), false);
    add_windowed("lit_average_gradient", metrics::AverageGradientAccumulator(), true);
    add_windowed("laplacian_variance", metrics::LaplacianVarianceAccumulator(), false);
    add_windowed("lit_laplacian_variance", metrics::LaplacianVarianceAccumulator(), true);
  }
  if (options.niqe_model) {
    const std::int64_t block = options.niqe_model->options.block_size;
    const auto score = std::make_shared<metrics::NiqeAccumulator>(*options.niqe_model);
    // An image is cut to whole blocks, so the rows below must lie in whole blocks too.
    const std::int64_t wait = (score->halo() + block - 1) / block * block;
    const auto queue = std::make_shared<detail::BlockQueue>(block, score->halo(), wait, true);
    scores_.push_back({"niqe",
                       [score, queue, block](const ScoredRows& rows) {
                         queue->push(detail::fresh_rows(rows), rows.last,
                                     [&](const detail::QueuedRows& queued, std::int64_t top,
                                         std::int64_t bottom) {
                                       const std::int64_t wide =
                                           queued.valid.size(1) / block * block;
                                       if (wide == 0) return;
                                       score->update(queued.prediction.narrow(1, 0, wide), top, 0,
                                                     bottom, 0, queued.valid.narrow(1, 0, wide));
                                     });
                       },
                       [score] { return score->compute(); }});
  }
}

DEEPLIGHT_INLINE void RasterScores::add_brightness(const RasterScoreOptions& options) {
  using metrics::ErrorStatistic;
  if (options.saturation) {
    const auto core = [&](ErrorStatistic statistic) {
      return metrics::SaturatedCoreError{.saturation = options.saturation, .statistic = statistic};
    };
    add_pointwise("core_rmse", core(ErrorStatistic::rmse), false);
    add_pointwise("core_bias", core(ErrorStatistic::bias), false);
  }
  if (options.brightness_edges.empty()) return;
  const auto bins = std::make_shared<metrics::Accumulator<metrics::ErrorsByBrightness>>(
      metrics::ErrorsByBrightness{.edges = options.brightness_edges});
  static constexpr const char* names[] = {"pixels", "bias", "mae", "rmse"};
  for (std::size_t bin = 0; bin + 1 < options.brightness_edges.size(); ++bin) {
    for (std::int64_t i = 0; i < 4; ++i) {
      const auto update = [bins](const ScoredRows& rows) {
        const detail::QueuedRows fresh = detail::fresh_rows(rows);
        bins->update(fresh.prediction, fresh.truth, fresh.valid);
      };
      scores_.push_back(
          {concat("bin", bin, "_", names[i]),
           bin == 0 && i == 0 ? std::function<void(const ScoredRows&)>(update)
                              : [](const ScoredRows&) {},
           [bins, bin, i] {
             return bins->compute()[static_cast<std::int64_t>(bin)][i].template item<double>();
           }});
    }
  }
}

DEEPLIGHT_INLINE void RasterScores::add_sources(double min_peak) {
  const auto widths = std::make_shared<metrics::SourceWidthAccumulator>(
      metrics::SourceWidthOptions{.min_peak = min_peak});
  const auto queue = std::make_shared<detail::BlockQueue>(1, widths->halo(), widths->halo(), false);
  scores_.push_back(
      {"source_width",
       [widths, queue](const ScoredRows& rows) {
         queue->push(detail::fresh_rows(rows), rows.last,
                     [&](const detail::QueuedRows& block, std::int64_t top, std::int64_t bottom) {
                       widths->update(block.prediction, block.truth, block.valid,
                                      {.top = top, .bottom = bottom});
                     });
       },
       [widths] { return widths->compute().prediction.item<double>(); }});
  const auto add = [&](const char* key, at::Tensor metrics::SourceWidthMeans::* member) {
    scores_.push_back({key, [](const ScoredRows&) {},
                       [widths, member] { return (widths->compute().*member).item<double>(); }});
  };
  add("source_width_truth", &metrics::SourceWidthMeans::target);
  add("source_width_rmse", &metrics::SourceWidthMeans::rmse);
  add("sources", &metrics::SourceWidthMeans::sources);
  add("sources_measured", &metrics::SourceWidthMeans::measured);
}

DEEPLIGHT_INLINE RasterScores::RasterScores(const RasterScoreOptions& options) {
  require(std::isfinite(options.lit_threshold), "scores: the lit threshold must be finite, got ",
          options.lit_threshold);
  metrics::SsimOptions ssim;
  ssim.data_range = metrics::detail::check_data_range("scores", options.data_range);
  const metrics::Psnr psnr{.data_range = options.data_range};
  const metrics::Ergas ergas{.ratio = 1.0 / static_cast<double>(options.scale)};
  const bool all = options.everything;

  add_pointwise("psnr", psnr, false);
  add_windowed("ssim", metrics::SsimAccumulator(ssim), false);
  if (all) {
    add_multi_scale(options, false);
    add_windowed("uiqi", metrics::UiqiAccumulator(), false);
    add_windowed("gradient", metrics::GradientErrorAccumulator(), false);
    add_spectral(false);
  }
  add_pointwise("rmse", metrics::Rmse{}, false);
  if (all) {
    add_pointwise("mae", metrics::Mae{}, false);
    add_pointwise("bias", metrics::Bias{}, false);
    add_pointwise("rsd", metrics::Rsd{}, false);
    add_pointwise("r2", metrics::R2{}, false);
  }
  add_pointwise("cc", metrics::Cc{}, false);
  if (all) {
    add_pointwise("sam", metrics::ImageSam{}, false);
    if (options.scale > 0) add_pointwise("ergas", ergas, false);
  }
  add_pointwise("light", metrics::TotalLightRatio{}, false);
  if (all) {
    add_pointwise("lit_precision", metrics::LitPrecision{.threshold = options.lit_threshold},
                  false);
    add_pointwise("lit_recall", metrics::LitRecall{.threshold = options.lit_threshold}, false);
    add_pointwise("lit_f1", metrics::LitF1{.threshold = options.lit_threshold}, false);
  }
  add_pointwise("lit_psnr", psnr, true);
  add_windowed("lit_ssim", metrics::SsimAccumulator(ssim), true);
  if (all) {
    add_multi_scale(options, true);
    add_windowed("lit_uiqi", metrics::UiqiAccumulator(), true);
    add_windowed("lit_gradient", metrics::GradientErrorAccumulator(), true);
    add_spectral(true);
  }
  add_pointwise("lit_rmse", metrics::Rmse{}, true);
  if (all) {
    add_pointwise("lit_mae", metrics::Mae{}, true);
    add_pointwise("lit_bias", metrics::Bias{}, true);
    add_pointwise("lit_rsd", metrics::Rsd{}, true);
    add_pointwise("lit_r2", metrics::R2{}, true);
  }
  add_pointwise("lit_cc", metrics::Cc{}, true);
  if (all) {
    add_pointwise("lit_sam", metrics::ImageSam{}, true);
    if (options.scale > 0) add_pointwise("lit_ergas", ergas, true);
  }
  add_no_reference(options);
  add_brightness(options);
  if (options.min_peak) add_sources(*options.min_peak);
}

DEEPLIGHT_INLINE void RasterScores::update(const ScoredRows& rows) {
  for (const Score& score : scores_) score.update(rows);
}

DEEPLIGHT_INLINE std::vector<std::pair<std::string, double>> RasterScores::compute() const {
  std::vector<std::pair<std::string, double>> values;
  for (const Score& score : scores_) values.emplace_back(score.key, score.compute());
  return values;
}

}  // namespace deeplight
