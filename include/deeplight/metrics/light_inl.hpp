// Definitions of metrics/light.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include "deeplight/metrics/common.hpp"
#include "deeplight/metrics/light.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE at::Tensor total_light_ratio(const at::Tensor& prediction,
                                              const at::Tensor& target, const Options& options) {
  const detail::Rows rows =
      detail::make_rows("total_light_ratio", prediction, target, options.mask, options.reduction);
  const at::Tensor given = rows.prediction.sum({1});
  const at::Tensor wanted = rows.target.sum({1});
  const at::Tensor both_dark = given.eq(0).logical_and(wanted.eq(0));
  const at::Tensor ratio = (given / wanted.masked_fill(both_dark, 1.0)).masked_fill(both_dark, 1.0);
  return detail::reduce(ratio, rows.count, options.reduction, rows.batch_shape);
}

}  // namespace deeplight::metrics
