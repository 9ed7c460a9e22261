// Definitions of infer/raster_scores.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "deeplight/core/errors.hpp"
#include "deeplight/infer/raster_scores.hpp"
#include "deeplight/metrics/correlation.hpp"
#include "deeplight/metrics/ergas.hpp"
#include "deeplight/metrics/light.hpp"
#include "deeplight/metrics/psnr.hpp"
#include "deeplight/metrics/regression.hpp"
#include "deeplight/metrics/sam.hpp"
#include "deeplight/metrics/ssim.hpp"
#include "deeplight/metrics/uiqi.hpp"

namespace deeplight {
namespace detail {

/// The last `count` rows of an image [h, W].
inline at::Tensor last_rows(const at::Tensor& image, std::int64_t count) {
  return image.narrow(0, image.size(0) - count, count);
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
  scores_.push_back({key,
                     [windows, lit](const ScoredRows& rows) {
                       const std::int64_t height =
                           std::min(rows.truth.size(0), rows.fresh + windows->overlap());
                       std::optional<at::Tensor> centres;
                       if (lit) centres = detail::last_rows(rows.lit, height);
                       windows->update(detail::last_rows(rows.prediction, height),
                                       detail::last_rows(rows.truth, height),
                                       detail::last_rows(rows.valid, height), centres);
                     },
                     [windows] { return windows->compute(); }});
}

DEEPLIGHT_INLINE RasterScores::RasterScores(const RasterScoreOptions& options) {
  require(std::isfinite(options.lit_threshold), "scores: the lit threshold must be finite, got ",
          options.lit_threshold);
  metrics::SsimOptions ssim;
  ssim.data_range = metrics::detail::check_data_range("scores", options.data_range);
  const metrics::Psnr psnr{.data_range = options.data_range};
  const bool all = options.everything;

  add_pointwise("psnr", psnr, false);
  add_windowed("ssim", metrics::SsimAccumulator(ssim), false);
  if (all) add_windowed("uiqi", metrics::UiqiAccumulator(), false);
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
    if (options.scale > 0) {
      add_pointwise("ergas", metrics::Ergas{.ratio = 1.0 / static_cast<double>(options.scale)},
                    false);
    }
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
  if (all) add_windowed("lit_uiqi", metrics::UiqiAccumulator(), true);
  add_pointwise("lit_rmse", metrics::Rmse{}, true);
  if (all) {
    add_pointwise("lit_mae", metrics::Mae{}, true);
    add_pointwise("lit_bias", metrics::Bias{}, true);
    add_pointwise("lit_rsd", metrics::Rsd{}, true);
    add_pointwise("lit_r2", metrics::R2{}, true);
  }
  add_pointwise("lit_cc", metrics::Cc{}, true);
  if (all) add_pointwise("lit_sam", metrics::ImageSam{}, true);
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
