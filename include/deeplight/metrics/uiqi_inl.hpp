// Definitions of metrics/uiqi.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>

#include <limits>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/uiqi.hpp"

namespace deeplight::metrics {
namespace detail {

DEEPLIGHT_INLINE WindowRule uiqi_rule(const UiqiOptions& options) {
  return {"uiqi", options.window, options.window_size, options.sigma, options.padding};
}

DEEPLIGHT_INLINE void check_uiqi(const at::Tensor& prediction, const at::Tensor& target,
                                 const UiqiOptions& options) {
  check_pair("uiqi", prediction, target);
  check_window(uiqi_rule(options), prediction);
}

DEEPLIGHT_INLINE WindowSums uiqi_sums(const at::Tensor& prediction, const at::Tensor& target,
                                      const UiqiOptions& options, const at::Tensor& map) {
  kernels::UiqiScore score;
  if (options.degenerate == DegenerateWindow::zero) score.degenerate = kernels::Degenerate::zero;
  if (options.degenerate == DegenerateWindow::skip) score.degenerate = kernels::Degenerate::skip;
  return window_sums(uiqi_rule(options), score, prediction, target, options.mask, options.where,
                     map);
}

/// The map, differentiable, and which of its windows count (undefined: all).
DEEPLIGHT_INLINE std::pair<at::Tensor, at::Tensor> differentiable_uiqi_map(
    const at::Tensor& prediction, const at::Tensor& target, const UiqiOptions& options) {
  const WindowMoments m =
      window_moments(uiqi_rule(options), prediction, target, options.mask, options.where);
  const at::Tensor xy = m.mean_x * m.mean_y;
  const at::Tensor both = m.mean_x * m.mean_x + m.mean_y * m.mean_y;
  const at::Tensor variances = m.squares - both;
  const at::Tensor flat = variances.le(m.squares * 0x1p-36);
  const at::Tensor dark = both.eq(0.0);
  const at::Tensor degenerate = flat.logical_or(dark);
  // The quotient is evaluated on harmless numbers where it is not used: no NaN in the gradient.
  const at::Tensor safe = (variances * both).masked_fill(degenerate, 1.0);
  at::Tensor values = 4.0 * (m.product - xy) * xy / safe;
  if (options.degenerate == DegenerateWindow::one) {
    const at::Tensor luminance = 2.0 * xy / both.masked_fill(dark, 1.0);
    values = at::where(flat, luminance, values).masked_fill(dark, 1.0);
  } else {
    values = values.masked_fill(degenerate, 0.0);
  }
  if (options.degenerate != DegenerateWindow::skip) return {values, m.counted};
  const at::Tensor kept = degenerate.logical_not();
  return {values, m.counted.defined() ? m.counted.logical_and(kept) : kept};
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor uiqi(const at::Tensor& prediction, const at::Tensor& target,
                                 const UiqiOptions& options) {
  if (options.reduction == Reduction::map) return uiqi_map(prediction, target, options);
  detail::check_uiqi(prediction, target, options);
  if (detail::kernels_apply(prediction, target)) {
    return detail::reduce_windows(detail::uiqi_sums(prediction, target, options, {}), prediction,
                                  options.reduction);
  }
  const auto [values, counted] = detail::differentiable_uiqi_map(prediction, target, options);
  return detail::reduce_map(values, counted, prediction, options.reduction);
}

DEEPLIGHT_INLINE at::Tensor uiqi_map(const at::Tensor& prediction, const at::Tensor& target,
                                     const UiqiOptions& options) {
  detail::check_uiqi(prediction, target, options);
  UiqiOptions whole = options;
  whole.where.reset();
  if (detail::kernels_apply(prediction, target)) {
    const at::Tensor values = detail::empty_map(detail::uiqi_rule(options), prediction);
    detail::uiqi_sums(prediction, target, whole, values);
    return values;
  }
  const auto [values, counted] = detail::differentiable_uiqi_map(prediction, target, whole);
  if (!counted.defined()) return values;
  return values.masked_fill(counted.logical_not(), std::numeric_limits<double>::quiet_NaN());
}

DEEPLIGHT_INLINE UiqiAccumulator::UiqiAccumulator(UiqiOptions options)
    : options_(std::move(options)) {
  require(options_.padding == WindowPadding::valid,
          "uiqi: an accumulator takes blocks, which have no border to mirror; padding must be "
          "valid");
  options_.mask.reset();
  options_.where.reset();
}

DEEPLIGHT_INLINE void UiqiAccumulator::update(const at::Tensor& prediction,
                                              const at::Tensor& target,
                                              const std::optional<at::Tensor>& mask,
                                              const std::optional<at::Tensor>& where) {
  detail::check_pair("uiqi", prediction, target);
  if (prediction.size(-1) < options_.window_size || prediction.size(-2) < options_.window_size) {
    return;
  }
  UiqiOptions options = options_;
  options.mask = mask;
  options.where = where;
  detail::check_uiqi(prediction, target, options);
  const detail::WindowSums sums =
      detail::uiqi_sums(prediction.detach(), target.detach(), options, {});
  for (std::size_t i = 0; i < sums.sums.size(); ++i) add(sums.sums[i], sums.counts[i]);
}

}  // namespace deeplight::metrics
