// Definitions of metrics/psnr.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include "deeplight/metrics/common.hpp"
#include "deeplight/metrics/psnr.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE at::Tensor psnr(const at::Tensor& prediction, const at::Tensor& target,
                                 const PsnrOptions& options) {
  const double range = detail::check_data_range("psnr", options.data_range);
  const detail::Rows rows =
      detail::make_rows("psnr", prediction, target, options.mask, options.reduction);
  const at::Tensor decibels =
      detail::mean_squared_error(rows).reciprocal().mul(range * range).log10().mul(10.0);
  return detail::reduce(decibels, rows.count, options.reduction, rows.batch_shape);
}

}  // namespace deeplight::metrics
