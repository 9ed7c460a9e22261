// Definitions of metrics/light.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <cmath>
#include <limits>

#include "deeplight/metrics/light.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE at::Tensor TotalLightRatio::statistics(const Part& part) const {
  return detail::sum_state(
      {detail::row_count(part), detail::row_sum(part.prediction), detail::row_sum(part.target)});
}

DEEPLIGHT_INLINE at::Tensor TotalLightRatio::score(const at::Tensor& state) const {
  const at::Tensor given = detail::sum_at(state, 1), wanted = detail::sum_at(state, 2);
  const at::Tensor both_dark = given.eq(0).logical_and(wanted.eq(0));
  const at::Tensor ratio = (given / wanted.masked_fill(both_dark, 1.0)).masked_fill(both_dark, 1.0);
  return detail::nan_where_empty(ratio, State::count(state));
}

namespace detail {

DEEPLIGHT_INLINE void check_threshold(const char* metric, const std::optional<double>& threshold) {
  require(
      threshold.has_value(), metric,
      ": threshold must be given, in the images' units: above it a pixel is lit, on both sides; "
      "small positive values that a network leaves in the dark are all lit at 0");
  require(std::isfinite(*threshold), metric, ": threshold must be finite, got ", *threshold);
}

DEEPLIGHT_INLINE at::Tensor lit_statistics(const Part& part, double threshold) {
  const auto lit = [&](const at::Tensor& image) {
    const at::Tensor brighter = image.gt(threshold);
    return part.valid.defined() ? brighter.logical_and(part.valid) : brighter;
  };
  const auto number = [](const at::Tensor& where) { return where.sum({1, 2}, false, at::kDouble); };
  const at::Tensor given = lit(part.prediction), wanted = lit(part.target);
  const at::Tensor unknown = part.prediction.isnan().logical_or(part.target.isnan());
  return sum_state({row_count(part), number(given.logical_and(wanted)), number(given),
                    number(wanted), number(unknown)});
}

DEEPLIGHT_INLINE at::Tensor lit_score(const at::Tensor& state, LitStatistic statistic) {
  const at::Tensor both = sum_at(state, 1), given = sum_at(state, 2), wanted = sum_at(state, 3);
  const at::Tensor all = statistic == LitStatistic::precision ? given
                         : statistic == LitStatistic::recall  ? wanted
                                                              : (given + wanted) / 2.0;
  const at::Tensor dark = (given + wanted).eq(0);
  const at::Tensor score = (both / all.clamp_min(0.5)).masked_fill(dark, 1.0);
  const at::Tensor unknown = sum_at(state, 4).gt(0).logical_or(sum_at(state, 0).eq(0));
  return score.masked_fill(unknown, std::numeric_limits<double>::quiet_NaN());
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor total_light_ratio(const at::Tensor& prediction,
                                              const at::Tensor& target, const Options& options) {
  return detail::score_images(TotalLightRatio{}, prediction, target, options.mask,
                              options.reduction);
}

DEEPLIGHT_INLINE at::Tensor lit_precision(const at::Tensor& prediction, const at::Tensor& target,
                                          const LitOptions& options) {
  return detail::score_images(LitPrecision{options.threshold}, prediction, target, options.mask,
                              options.reduction);
}

DEEPLIGHT_INLINE at::Tensor lit_recall(const at::Tensor& prediction, const at::Tensor& target,
                                       const LitOptions& options) {
  return detail::score_images(LitRecall{options.threshold}, prediction, target, options.mask,
                              options.reduction);
}

DEEPLIGHT_INLINE at::Tensor lit_f1(const at::Tensor& prediction, const at::Tensor& target,
                                   const LitOptions& options) {
  return detail::score_images(LitF1{options.threshold}, prediction, target, options.mask,
                              options.reduction);
}

}  // namespace deeplight::metrics
