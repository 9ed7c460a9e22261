// Definitions of metrics/regression.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>

#include <limits>

#include "deeplight/metrics/regression.hpp"

namespace deeplight::metrics {
namespace detail {

// Differences in float64, so that unsigned bytes do not wrap.
DEEPLIGHT_INLINE at::Tensor difference_map(const char* metric, const at::Tensor& prediction,
                                           const at::Tensor& target,
                                           const std::optional<at::Tensor>& mask) {
  check_pair(metric, prediction, target);
  return masked_map(metric, prediction.to(at::kDouble) - target.to(at::kDouble), mask);
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor Rmse::statistics(const Part& part) const {
  return detail::sum_state(
      {detail::row_count(part), detail::row_sum((part.prediction - part.target).square())});
}

DEEPLIGHT_INLINE at::Tensor Rmse::score(const at::Tensor& state) const {
  return detail::safe_sqrt(detail::sum_at(state, 1) / State::count(state));
}

DEEPLIGHT_INLINE at::Tensor Mae::statistics(const Part& part) const {
  return detail::sum_state(
      {detail::row_count(part), detail::row_sum((part.prediction - part.target).abs())});
}

DEEPLIGHT_INLINE at::Tensor Mae::score(const at::Tensor& state) const {
  return detail::sum_at(state, 1) / State::count(state);
}

DEEPLIGHT_INLINE at::Tensor Bias::statistics(const Part& part) const {
  return detail::sum_state(
      {detail::row_count(part), detail::row_sum(part.prediction - part.target)});
}

DEEPLIGHT_INLINE at::Tensor Bias::score(const at::Tensor& state) const {
  return detail::sum_at(state, 1) / State::count(state);
}

DEEPLIGHT_INLINE at::Tensor Rsd::score(const at::Tensor& state) const {
  const detail::Moments moments(state);
  const at::Tensor given = detail::safe_sqrt(moments.prediction_square);
  const at::Tensor wanted = detail::safe_sqrt(moments.target_square);
  const at::Tensor both = moments.prediction_constant().logical_and(moments.target_constant());
  const at::Tensor ratio = (given - wanted).abs() / wanted.masked_fill(both, 1.0);
  const at::Tensor unbounded = moments.target_constant().logical_and(both.logical_not());
  return detail::nan_where_empty(
      ratio.masked_fill(both, 0.0).masked_fill(unbounded, std::numeric_limits<double>::infinity()),
      moments.count);
}

DEEPLIGHT_INLINE at::Tensor R2::score(const at::Tensor& state) const {
  const detail::Moments moments(state);
  const at::Tensor constant = moments.target_constant();
  const at::Tensor perfect = moments.error_square.eq(0).to(at::kDouble);
  const at::Tensor explained =
      1.0 - moments.error_square / moments.target_square.masked_fill(constant, 1.0);
  const at::Tensor unknown = moments.error_square.isnan();
  const at::Tensor scores =
      at::where(constant.logical_and(unknown.logical_not()), perfect, explained);
  return detail::nan_where_empty(scores, moments.count);
}

DEEPLIGHT_INLINE at::Tensor rmse(const at::Tensor& prediction, const at::Tensor& target,
                                 const Options& options) {
  return detail::score_images(Rmse{}, prediction, target, options.mask, options.reduction);
}

DEEPLIGHT_INLINE at::Tensor mae(const at::Tensor& prediction, const at::Tensor& target,
                                const Options& options) {
  if (options.reduction == Reduction::map) {
    return detail::difference_map(Mae::name, prediction, target, options.mask).abs();
  }
  return detail::score_images(Mae{}, prediction, target, options.mask, options.reduction);
}

DEEPLIGHT_INLINE at::Tensor bias(const at::Tensor& prediction, const at::Tensor& target,
                                 const Options& options) {
  if (options.reduction == Reduction::map) {
    return detail::difference_map(Bias::name, prediction, target, options.mask);
  }
  return detail::score_images(Bias{}, prediction, target, options.mask, options.reduction);
}

DEEPLIGHT_INLINE at::Tensor rsd(const at::Tensor& prediction, const at::Tensor& target,
                                const Options& options) {
  return detail::score_images(Rsd{}, prediction, target, options.mask, options.reduction);
}

DEEPLIGHT_INLINE at::Tensor r2(const at::Tensor& prediction, const at::Tensor& target,
                               const Options& options) {
  return detail::score_images(R2{}, prediction, target, options.mask, options.reduction);
}

}  // namespace deeplight::metrics
