// Definitions of metrics/rmse.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include "deeplight/metrics/common.hpp"
#include "deeplight/metrics/rmse.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE at::Tensor rmse(const at::Tensor& prediction, const at::Tensor& target,
                                 const Options& options) {
  const detail::Rows rows =
      detail::make_rows("rmse", prediction, target, options.mask, options.reduction);
  return detail::reduce(detail::mean_squared_error(rows).sqrt(), rows.count, options.reduction,
                        rows.batch_shape);
}

}  // namespace deeplight::metrics
