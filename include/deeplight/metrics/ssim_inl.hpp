// Definitions of metrics/ssim.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <cmath>
#include <limits>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/common.hpp"
#include "deeplight/metrics/ssim.hpp"

namespace deeplight::metrics {
namespace detail {

DEEPLIGHT_INLINE std::vector<double> gaussian_window(std::int64_t size, double sigma) {
  std::vector<double> weights(static_cast<std::size_t>(size));
  double sum = 0.0;
  for (std::int64_t i = 0; i < size; ++i) {
    const double distance = static_cast<double>(i - size / 2);
    sum += weights[i] = std::exp(-0.5 * distance * distance / (sigma * sigma));
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

// Shifted slices instead of a convolution: no unfolded copy, any real type, twice differentiable.
DEEPLIGHT_INLINE at::Tensor filter_valid(const at::Tensor& image,
                                         const std::vector<double>& weights) {
  at::Tensor filtered = image;
  const auto size = static_cast<std::int64_t>(weights.size());
  for (const std::int64_t dimension : {-2, -1}) {
    const at::Tensor input = filtered;
    const std::int64_t length = input.size(dimension) - size + 1;
    filtered = input.narrow(dimension, 0, length) * weights[0];
    for (std::int64_t i = 1; i < size; ++i) {
      filtered = filtered.add(input.narrow(dimension, i, length), weights[i]);
    }
  }
  return filtered;
}

DEEPLIGHT_INLINE at::Tensor windows_all_valid(const at::Tensor& valid, std::int64_t size) {
  at::Tensor whole = valid;
  for (const std::int64_t dimension : {-2, -1}) {
    const at::Tensor input = whole;
    const std::int64_t length = input.size(dimension) - size + 1;
    whole = input.narrow(dimension, 0, length);
    for (std::int64_t i = 1; i < size; ++i) {
      whole = whole.logical_and(input.narrow(dimension, i, length));
    }
  }
  return whole;
}

struct SsimMap {
  at::Tensor values;   // [..., H', W'], float64, finite at dropped windows
  at::Tensor counted;  // the same shape, boolean; undefined when every window counts
};

DEEPLIGHT_INLINE SsimMap compute_ssim_map(const at::Tensor& prediction, const at::Tensor& target,
                                          const SsimOptions& options) {
  const double range = check_data_range("ssim", options.data_range);
  check_pair("ssim", prediction, target);
  const std::int64_t size = options.window_size;
  require(size >= 1 && size % 2 == 1, "ssim: window_size must be odd and at least 1, got ", size);
  require(options.sigma > 0.0, "ssim: sigma must be above 0, got ", options.sigma);
  require(prediction.size(-1) >= size && prediction.size(-2) >= size,
          "ssim: images must be at least ", size, "x", size, " pixels, the window, got ",
          prediction.size(-2), "x", prediction.size(-1));

  at::Tensor x = prediction.to(at::kDouble);
  at::Tensor y = target.to(at::kDouble);
  SsimMap map;
  if (options.mask) {
    const at::Tensor valid = expand_mask("ssim", "mask", *options.mask, prediction);
    x = x.masked_fill(valid.logical_not(), 0.0);
    y = y.masked_fill(valid.logical_not(), 0.0);
    map.counted = windows_all_valid(valid, size);
  }
  const std::vector<double> window = gaussian_window(size, options.sigma);
  const at::Tensor mean_x = filter_valid(x, window);
  const at::Tensor mean_y = filter_valid(y, window);
  const at::Tensor mean_xx = mean_x * mean_x;
  const at::Tensor mean_yy = mean_y * mean_y;
  const at::Tensor mean_xy = mean_x * mean_y;
  const at::Tensor variances = filter_valid(x * x + y * y, window) - mean_xx - mean_yy;
  const at::Tensor covariance = filter_valid(x * y, window) - mean_xy;
  const double c1 = std::pow(options.k1 * range, 2);
  const double c2 = std::pow(options.k2 * range, 2);
  map.values = (2.0 * mean_xy + c1) * (2.0 * covariance + c2) /
               ((mean_xx + mean_yy + c1) * (variances + c2));
  return map;
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor ssim_map(const at::Tensor& prediction, const at::Tensor& target,
                                     const SsimOptions& options) {
  const detail::SsimMap map = detail::compute_ssim_map(prediction, target, options);
  if (!map.counted.defined()) return map.values;
  return map.values.masked_fill(map.counted.logical_not(),
                                std::numeric_limits<double>::quiet_NaN());
}

DEEPLIGHT_INLINE at::Tensor ssim(const at::Tensor& prediction, const at::Tensor& target,
                                 const SsimOptions& options) {
  detail::SsimMap map = detail::compute_ssim_map(prediction, target, options);
  if (options.where) {
    const std::int64_t border = options.window_size / 2;
    const at::Tensor centres = detail::expand_mask("ssim", "where", *options.where, prediction)
                                   .narrow(-2, border, map.values.size(-2))
                                   .narrow(-1, border, map.values.size(-1));
    map.counted = map.counted.defined() ? map.counted.logical_and(centres) : centres;
  }
  std::vector<std::int64_t> batch_shape;
  std::int64_t images = 1;
  for (std::int64_t i = 0; i < prediction.dim() - detail::image_dimensions(prediction); ++i) {
    batch_shape.push_back(prediction.size(i));
    images *= prediction.size(i);
  }
  if (options.reduction == Reduction::pooled) images = 1;
  at::Tensor values = map.values.reshape({images, -1});
  at::Tensor count = values.new_full({images}, static_cast<double>(values.size(1)));
  if (map.counted.defined()) {
    const at::Tensor counted = map.counted.reshape({images, -1});
    values = values.masked_fill(counted.logical_not(), 0.0);
    count = counted.sum({1}, false, at::kDouble);
  }
  return detail::reduce(values.sum({1}) / count, count, options.reduction, batch_shape);
}

}  // namespace deeplight::metrics
