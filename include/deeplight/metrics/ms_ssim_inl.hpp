// Definitions of metrics/ms_ssim.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/ms_ssim.hpp"

namespace deeplight::metrics {
namespace detail {

/// Calls combine(a, b, c, d) on the four pixels of every block of 2 x 2.
template <class Combine>
at::Tensor halved(const at::Tensor& image, const Combine& combine) {
  const std::int64_t rows = image.size(-2) / 2 * 2, columns = image.size(-1) / 2 * 2;
  const auto part = [&](std::int64_t row, std::int64_t column) {
    return image.slice(-2, row, rows, 2).slice(-1, column, columns, 2);
  };
  return combine(part(0, 0), part(0, 1), part(1, 0), part(1, 1));
}

DEEPLIGHT_INLINE at::Tensor halved_image(const at::Tensor& image) {
  return halved(image, [](const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                          const at::Tensor& d) { return ((a + b) + (c + d)) * 0.25; });
}

DEEPLIGHT_INLINE at::Tensor halved_mask(const at::Tensor& mask) {
  return halved(
      mask, [](const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, const at::Tensor& d) {
        return a.logical_and(b).logical_and(c).logical_and(d);
      });
}

DEEPLIGHT_INLINE void check_ms_ssim(const at::Tensor& prediction, const at::Tensor& target,
                                    const MsSsimOptions& options) {
  check_data_range("ms_ssim", options.data_range);
  check_pair("ms_ssim", prediction, target);
  require(options.reduction != Reduction::map, "ms_ssim: there is no one map over several scales");
  require(!options.weights.empty() && options.weights.size() < 31,
          "ms_ssim: weights, one per scale, must be 1 to 30, got ", options.weights.size());
  for (const double weight : options.weights) {
    require(std::isfinite(weight) && weight >= 0.0, "ms_ssim: weights must be at least 0, got ",
            weight);
  }
  const auto scales = static_cast<std::int64_t>(options.weights.size());
  const std::int64_t least = options.window_size << (scales - 1);
  require(std::min(prediction.size(-1), prediction.size(-2)) >= least, "ms_ssim: ", scales,
          " scales need images of at least ", least, "x", least,
          " pixels (window_size x 2^(scales - 1)), got ", prediction.size(-2), "x",
          prediction.size(-1), "; give fewer weights");
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor ms_ssim(const at::Tensor& prediction, const at::Tensor& target,
                                    const MsSsimOptions& options) {
  detail::check_ms_ssim(prediction, target, options);
  const bool pooled = options.reduction == Reduction::pooled;
  SsimOptions scale{.data_range = options.data_range,
                    .reduction = pooled ? Reduction::pooled : Reduction::none,
                    .window_size = options.window_size,
                    .sigma = options.sigma,
                    .k1 = options.k1,
                    .k2 = options.k2};
  at::Tensor x = prediction, y = target;
  if (options.mask) {
    const at::Tensor valid = detail::expand_mask("ms_ssim", "mask", *options.mask, prediction);
    scale.mask = valid;
    // NaN behind the mask must not reach a gradient.
    x = x.masked_fill(valid.logical_not(), 0);
    y = y.masked_fill(valid.logical_not(), 0);
  }
  at::Tensor product, empty;
  for (std::size_t i = 0; i < options.weights.size(); ++i) {
    const bool last = i + 1 == options.weights.size();
    at::Tensor mean = detail::ssim_or_contrast(x, y, scale, last);
    const at::Tensor missing = mean.isnan();
    empty = empty.defined() ? empty.logical_or(missing) : missing;
    // A power of 0 or less has no slope; such a scale gives 0 without a gradient.
    const at::Tensor dark = mean.le(0.0);
    at::Tensor factor = mean.masked_fill(dark.logical_or(missing), 1.0)
                            .pow(options.weights[i])
                            .masked_fill(dark, options.weights[i] == 0.0 ? 1.0 : 0.0);
    if (options.negative == NegativeScale::nan) {
      factor = factor.masked_fill(mean.lt(0.0), std::numeric_limits<double>::quiet_NaN());
    }
    product = product.defined() ? product * factor : factor;
    if (last) break;
    x = detail::halved_image(x.to(at::kDouble));
    y = detail::halved_image(y.to(at::kDouble));
    if (scale.mask) scale.mask = detail::halved_mask(*scale.mask);
  }
  const at::Tensor count = empty.logical_not().to(at::kDouble).reshape({-1});
  return detail::reduce(product.reshape({-1}), count, options.reduction,
                        detail::image_batch(prediction, options.reduction).shape);
}

}  // namespace deeplight::metrics
