// Definitions of metrics/correlation.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <limits>

#include "deeplight/metrics/common.hpp"
#include "deeplight/metrics/correlation.hpp"

namespace deeplight::metrics {
namespace detail {

// Rounding leaves a constant image a variance of 1e-30 rather than 0: compare the extremes instead.
DEEPLIGHT_INLINE at::Tensor constant_rows(const at::Tensor& values, const at::Tensor& valid) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (!valid.defined()) return values.amax({1}).eq(values.amin({1}));
  const at::Tensor invalid = valid.logical_not();
  return values.masked_fill(invalid, -infinity)
      .amax({1})
      .eq(values.masked_fill(invalid, infinity).amin({1}));
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor cc(const at::Tensor& prediction, const at::Tensor& target,
                               const Options& options) {
  const detail::Rows rows =
      detail::make_rows("cc", prediction, target, options.mask, options.reduction);
  const auto centred = [&rows](const at::Tensor& values) {
    const at::Tensor difference = values - (values.sum({1}) / rows.count).unsqueeze(1);
    return rows.valid.defined() ? difference.masked_fill(rows.valid.logical_not(), 0.0)
                                : difference;
  };
  const at::Tensor x = centred(rows.prediction);
  const at::Tensor y = centred(rows.target);
  const at::Tensor constant = detail::constant_rows(rows.prediction, rows.valid)
                                  .logical_or(detail::constant_rows(rows.target, rows.valid));
  const auto spread = [&constant](const at::Tensor& values) {
    return (values * values).sum({1}).masked_fill(constant, 1.0).sqrt();
  };
  const at::Tensor scores =
      ((x * y).sum({1}) / spread(x) / spread(y)).clamp(-1.0, 1.0).masked_fill(constant, 0.0);
  return detail::reduce(scores, rows.count, options.reduction, rows.batch_shape);
}

}  // namespace deeplight::metrics
