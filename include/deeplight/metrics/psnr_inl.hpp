// Definitions of metrics/psnr.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include "deeplight/metrics/psnr.hpp"
#include "deeplight/metrics/regression.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE at::Tensor Psnr::statistics(const Part& part) const {
  return Rmse{}.statistics(part);
}

DEEPLIGHT_INLINE at::Tensor Psnr::score(const at::Tensor& state) const {
  const at::Tensor mean_square = detail::sum_at(state, 1) / State::count(state);
  return mean_square.reciprocal().mul(*data_range * *data_range).log10().mul(10.0);
}

DEEPLIGHT_INLINE at::Tensor psnr(const at::Tensor& prediction, const at::Tensor& target,
                                 const PsnrOptions& options) {
  return detail::score_images(Psnr{.data_range = options.data_range}, prediction, target,
                              options.mask, options.reduction);
}

}  // namespace deeplight::metrics
