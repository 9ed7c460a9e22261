// Definitions of metrics/ssim.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <cmath>
#include <limits>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/ssim.hpp"

namespace deeplight::metrics {
namespace detail {

DEEPLIGHT_INLINE WindowRule ssim_rule(const SsimOptions& options) {
  return {"ssim", options.window, options.window_size, options.sigma, options.padding};
}

DEEPLIGHT_INLINE kernels::SsimScore ssim_score(const SsimOptions& options, bool luminance) {
  const double range = check_data_range("ssim", options.data_range);
  const double pixels = static_cast<double>(options.window_size * options.window_size);
  require(!options.sample_covariance || pixels > 1.0,
          "ssim: sample_covariance needs a window of more than one pixel");
  return {std::pow(options.k1 * range, 2), std::pow(options.k2 * range, 2),
          options.sample_covariance ? pixels / (pixels - 1.0) : 1.0, luminance};
}

DEEPLIGHT_INLINE void check_ssim(const at::Tensor& prediction, const at::Tensor& target,
                                 const SsimOptions& options) {
  check_data_range("ssim", options.data_range);
  check_pair("ssim", prediction, target);
  check_window(ssim_rule(options), prediction);
}

DEEPLIGHT_INLINE WindowSums ssim_sums(const at::Tensor& prediction, const at::Tensor& target,
                                      const SsimOptions& options, bool luminance,
                                      const at::Tensor& map) {
  return window_sums(ssim_rule(options), ssim_score(options, luminance), prediction, target,
                     options.mask, options.where, map);
}

DEEPLIGHT_INLINE SsimMap differentiable_ssim_map(const at::Tensor& prediction,
                                                 const at::Tensor& target,
                                                 const SsimOptions& options, bool luminance) {
  const kernels::SsimScore score = ssim_score(options, luminance);
  const WindowMoments m =
      window_moments(ssim_rule(options), prediction, target, options.mask, options.where);
  const at::Tensor xy = m.mean_x * m.mean_y;
  const at::Tensor both = m.mean_x * m.mean_x + m.mean_y * m.mean_y;
  const at::Tensor covariance = (m.product - xy) * score.covariance_scale;
  const at::Tensor variances = (m.squares - both) * score.covariance_scale;
  const at::Tensor contrast = (2.0 * covariance + score.c2) / (variances + score.c2);
  if (!luminance) return {contrast, m.counted};
  return {(2.0 * xy + score.c1) / (both + score.c1) * contrast, m.counted};
}

DEEPLIGHT_INLINE at::Tensor ssim_or_contrast(const at::Tensor& prediction, const at::Tensor& target,
                                             const SsimOptions& options, bool luminance) {
  check_ssim(prediction, target, options);
  if (kernels_apply(prediction, target)) {
    return reduce_windows(ssim_sums(prediction, target, options, luminance, {}), prediction,
                          options.reduction);
  }
  const SsimMap map = differentiable_ssim_map(prediction, target, options, luminance);
  return reduce_map(map.values, map.counted, prediction, options.reduction);
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor ssim_map(const at::Tensor& prediction, const at::Tensor& target,
                                     const SsimOptions& options) {
  detail::check_ssim(prediction, target, options);
  SsimOptions whole = options;
  whole.where.reset();
  if (detail::kernels_apply(prediction, target)) {
    const at::Tensor values = detail::empty_map(detail::ssim_rule(options), prediction);
    detail::ssim_sums(prediction, target, whole, true, values);
    return values;
  }
  const detail::SsimMap map = detail::differentiable_ssim_map(prediction, target, whole, true);
  if (!map.counted.defined()) return map.values;
  return map.values.masked_fill(map.counted.logical_not(),
                                std::numeric_limits<double>::quiet_NaN());
}

DEEPLIGHT_INLINE at::Tensor ssim(const at::Tensor& prediction, const at::Tensor& target,
                                 const SsimOptions& options) {
  if (options.reduction == Reduction::map) return ssim_map(prediction, target, options);
  return detail::ssim_or_contrast(prediction, target, options, true);
}

DEEPLIGHT_INLINE SsimAccumulator::SsimAccumulator(SsimOptions options)
    : options_(std::move(options)) {
  detail::check_data_range("ssim", options_.data_range);
  require(options_.padding == WindowPadding::valid,
          "ssim: an accumulator takes blocks, which have no border to mirror; padding must be "
          "valid");
  options_.mask.reset();
  options_.where.reset();
}

DEEPLIGHT_INLINE void SsimAccumulator::update(const at::Tensor& prediction,
                                              const at::Tensor& target,
                                              const std::optional<at::Tensor>& mask,
                                              const std::optional<at::Tensor>& where) {
  detail::check_pair("ssim", prediction, target);
  if (prediction.size(-1) < options_.window_size || prediction.size(-2) < options_.window_size) {
    return;
  }
  SsimOptions options = options_;
  options.mask = mask;
  options.where = where;
  detail::check_ssim(prediction, target, options);
  const detail::WindowSums sums =
      detail::ssim_sums(prediction.detach(), target.detach(), options, true, {});
  for (std::size_t i = 0; i < sums.sums.size(); ++i) add(sums.sums[i], sums.counts[i]);
}

}  // namespace deeplight::metrics
