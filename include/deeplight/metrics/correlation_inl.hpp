// Definitions of metrics/correlation.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include "deeplight/metrics/correlation.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE at::Tensor Cc::score(const at::Tensor& state) const {
  const detail::Moments moments(state);
  // A NaN on either side decides before a constant on the other does.
  const at::Tensor constant = moments.prediction_constant()
                                  .logical_or(moments.target_constant())
                                  .logical_and(moments.product.isnan().logical_not());
  const auto spread = [&constant](const at::Tensor& square) {
    return square.masked_fill(constant, 1.0).sqrt();
  };
  // Two divisions: the product of two sums of squares may overflow.
  const at::Tensor scores =
      moments.product / spread(moments.prediction_square) / spread(moments.target_square);
  return detail::nan_where_empty(scores.clamp(-1.0, 1.0).masked_fill(constant, 0.0), moments.count);
}

DEEPLIGHT_INLINE at::Tensor cc(const at::Tensor& prediction, const at::Tensor& target,
                               const Options& options) {
  return detail::score_images(Cc{}, prediction, target, options.mask, options.reduction);
}

}  // namespace deeplight::metrics
