// Definitions of metrics/gradient_error.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/gradient_error.hpp"

namespace deeplight::metrics {
namespace detail {

/// [..., H, W] -> the part [..., H - lost, W - lost] that begins at (row, column).
DEEPLIGHT_INLINE at::Tensor shifted(const at::Tensor& image, std::int64_t row, std::int64_t column,
                                    std::int64_t lost) {
  return image.narrow(-2, row, image.size(-2) - lost).narrow(-1, column, image.size(-1) - lost);
}

DEEPLIGHT_INLINE at::Tensor gradient_norm(const at::Tensor& image,
                                          const GradientErrorOptions& options) {
  at::Tensor dx, dy;
  if (options.filter == GradientFilter::difference) {
    const at::Tensor here = shifted(image, 0, 0, 1);
    dx = shifted(image, 0, 1, 1) - here;
    dy = shifted(image, 1, 0, 1) - here;
  } else {
    const auto part = [&image](std::int64_t row, std::int64_t column) {
      return shifted(image, row, column, 2);
    };
    dx = ((part(0, 2) - part(0, 0)) + 2.0 * (part(1, 2) - part(1, 0)) + (part(2, 2) - part(2, 0))) /
         8.0;
    dy = ((part(2, 0) - part(0, 0)) + 2.0 * (part(2, 1) - part(0, 1)) + (part(2, 2) - part(0, 2))) /
         8.0;
  }
  if (options.norm == GradientNorm::l1) return dx.abs() + dy.abs();
  const at::Tensor squared = dx * dx + dy * dy;
  // The root has no slope at 0; there the gradient is taken as 0.
  const at::Tensor still = squared.eq(0.0);
  return squared.masked_fill(still, 1.0).sqrt().masked_fill(still, 0.0);
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor gradient_error(const at::Tensor& prediction, const at::Tensor& target,
                                           const GradientErrorOptions& options) {
  detail::check_pair("gradient_error", prediction, target);
  const bool map = options.reduction == Reduction::map;
  const bool sobel = options.filter == GradientFilter::sobel;
  const std::int64_t size = sobel ? 3 : 2;
  if (detail::kernels_apply(prediction, target) || prediction.size(-1) < size ||
      prediction.size(-2) < size) {
    const detail::LocalSums sums = detail::local_sums(
        "gradient_error", prediction, target,
        {.mask = options.mask, .where = options.where, .reduction = options.reduction},
        sobel ? kernels::LocalOperator::sobel : kernels::LocalOperator::difference,
        options.norm == GradientNorm::l1, 1.0, map);
    return map ? sums.map.to(prediction.device())
               : detail::reduce_local(sums, prediction, options.reduction, false);
  }
  at::Tensor difference = prediction.to(at::kDouble) - target.to(at::kDouble);
  at::Tensor counted;
  if (options.mask) {
    const at::Tensor valid =
        detail::expand_mask("gradient_error", "mask", *options.mask, prediction);
    difference = difference.masked_fill(valid.logical_not(), 0.0);
    counted = detail::windows_all_valid(valid, size);
  }
  const at::Tensor values = detail::gradient_norm(difference, options);
  if (options.where && !map) {
    const std::int64_t shift = (size - 1) / 2;
    const at::Tensor centres =
        detail::shifted(detail::expand_mask("gradient_error", "where", *options.where, prediction),
                        shift, shift, size - 1);
    counted = counted.defined() ? counted.logical_and(centres) : centres;
  }
  if (!map) return detail::reduce_map(values, counted, prediction, options.reduction);
  if (!counted.defined()) return values;
  return values.masked_fill(counted.logical_not(), std::numeric_limits<double>::quiet_NaN());
}

DEEPLIGHT_INLINE GradientErrorAccumulator::GradientErrorAccumulator(GradientErrorOptions options)
    : options_(std::move(options)) {
  options_.mask.reset();
  options_.where.reset();
}

DEEPLIGHT_INLINE void GradientErrorAccumulator::update(const at::Tensor& prediction,
                                                       const at::Tensor& target,
                                                       const std::optional<at::Tensor>& mask,
                                                       const std::optional<at::Tensor>& where) {
  detail::check_pair("gradient_error", prediction, target);
  add(detail::local_sums("gradient_error", prediction, target, {.mask = mask, .where = where},
                         options_.filter == GradientFilter::sobel
                             ? kernels::LocalOperator::sobel
                             : kernels::LocalOperator::difference,
                         options_.norm == GradientNorm::l1, 1.0, false));
}

}  // namespace deeplight::metrics
