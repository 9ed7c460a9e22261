// Definitions of metrics/brightness.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <limits>

#include "deeplight/metrics/brightness.hpp"

namespace deeplight::metrics {
namespace detail {

// [N, 4]: number, sum, absolute sum and sum of squares of the differences at chosen pixels.
DEEPLIGHT_INLINE at::Tensor chosen_errors(const Part& part, const at::Tensor& chosen) {
  const at::Tensor difference =
      (part.prediction - part.target).masked_fill(chosen.logical_not(), 0.0);
  return at::stack({chosen.sum({1, 2}, false, at::kDouble), row_sum(difference),
                    row_sum(difference.abs()), row_sum(difference.square())},
                   1);
}

// [N, 4]: nothing, or NaN in the sums of rows whose target is NaN somewhere, so in no bin.
DEEPLIGHT_INLINE at::Tensor unknown_target(const Part& part) {
  const at::Tensor unknown = part.target.isnan().any(2).any(1);
  const at::Tensor zero = zeros({part.target.size(0)}).to(part.target.device());
  const at::Tensor poison = zero.masked_fill(unknown, std::numeric_limits<double>::quiet_NaN());
  return at::stack({zero, poison, poison, poison}, 1);
}

// Of sums [..., 4]; NaN where the number is 0.
DEEPLIGHT_INLINE at::Tensor error_statistic(const at::Tensor& sums, ErrorStatistic statistic) {
  const at::Tensor count = sums.select(-1, 0);
  switch (statistic) {
    case ErrorStatistic::bias:
      return sums.select(-1, 1) / count;
    case ErrorStatistic::mae:
      return sums.select(-1, 2) / count;
    default:
      return safe_sqrt(sums.select(-1, 3) / count);
  }
}

}  // namespace detail

DEEPLIGHT_INLINE void SaturatedCoreError::check() const {
  require(saturation.has_value(),
          "saturated_core_error: saturation must be given, the level in the images' units at which "
          "the coarse sensor stopped counting (63 for DMSP-OLS)");
  require(std::isfinite(*saturation), "saturated_core_error: saturation must be finite, got ",
          *saturation);
}

DEEPLIGHT_INLINE at::Tensor SaturatedCoreError::statistics(const Part& part) const {
  at::Tensor core = part.target.ge(*saturation);
  if (part.valid.defined()) core = core.logical_and(part.valid);
  return detail::new_sums(detail::chosen_errors(part, core) + detail::unknown_target(part));
}

DEEPLIGHT_INLINE at::Tensor SaturatedCoreError::score(const at::Tensor& state) const {
  return detail::error_statistic(detail::total(state), statistic);
}

DEEPLIGHT_INLINE at::Tensor BinState::merge(const at::Tensor& first, const at::Tensor& second) {
  return detail::merge_sums(first, second);
}

DEEPLIGHT_INLINE at::Tensor BinState::count(const at::Tensor& state) {
  return detail::total(state.select(2, 0)).sum({1});
}

DEEPLIGHT_INLINE void ErrorsByBrightness::check() const {
  require(edges.size() >= 2, "errors_by_brightness: at least two edges make a bin, got ",
          edges.size());
  for (std::size_t i = 1; i < edges.size(); ++i) {
    require(edges[i - 1] < edges[i], "errors_by_brightness: edges must ascend, got ", edges[i - 1],
            " before ", edges[i]);
  }
}

DEEPLIGHT_INLINE at::Tensor ErrorsByBrightness::empty() const {
  return detail::zeros({1, static_cast<std::int64_t>(edges.size()) - 1, 4, 2});
}

DEEPLIGHT_INLINE at::Tensor ErrorsByBrightness::statistics(const Part& part) const {
  const at::Tensor unknown = detail::unknown_target(part);
  std::vector<at::Tensor> bins;
  for (std::size_t i = 1; i < edges.size(); ++i) {
    const bool last = i + 1 == edges.size();
    at::Tensor inside =
        part.target.ge(edges[i - 1])
            .logical_and(last ? part.target.le(edges[i]) : part.target.lt(edges[i]));
    if (part.valid.defined()) inside = inside.logical_and(part.valid);
    bins.push_back(detail::chosen_errors(part, inside) + unknown);
  }
  return detail::new_sums(at::stack(bins, 1));
}

DEEPLIGHT_INLINE at::Tensor ErrorsByBrightness::score(const at::Tensor& state) const {
  const at::Tensor sums = detail::total(state);
  const auto statistic = [&sums](ErrorStatistic which) {
    return detail::error_statistic(sums, which);
  };
  return at::stack({sums.select(-1, 0), statistic(ErrorStatistic::bias),
                    statistic(ErrorStatistic::mae), statistic(ErrorStatistic::rmse)},
                   -1);
}

DEEPLIGHT_INLINE at::Tensor saturated_core_error(const at::Tensor& prediction,
                                                 const at::Tensor& target,
                                                 const SaturatedCoreOptions& options) {
  return detail::score_images(SaturatedCoreError{options.saturation, options.statistic}, prediction,
                              target, options.mask, options.reduction);
}

DEEPLIGHT_INLINE BrightnessErrors errors_by_brightness(const at::Tensor& prediction,
                                                       const at::Tensor& target,
                                                       const BrightnessOptions& options) {
  const ErrorsByBrightness metric{options.edges};
  metric.check();
  if (options.reduction == Reduction::map) detail::throw_no_map(metric.name);
  const bool pooled = options.reduction == Reduction::pooled;
  at::Tensor table = metric.score(detail::gather(metric, prediction, target, options.mask, pooled));
  if (pooled) {
    table = table.squeeze(0);
  } else if (options.reduction == Reduction::none) {
    std::vector<std::int64_t> shape = detail::batch_shape(prediction);
    shape.push_back(table.size(1));
    shape.push_back(table.size(2));
    table = table.reshape(shape);
  } else {
    const at::Tensor seen = table.select(2, 0).gt(0).unsqueeze(2);
    const at::Tensor images = seen.sum({0}, false, at::kDouble);
    const at::Tensor mean = table.masked_fill(seen.logical_not(), 0.0).sum({0}) / images;
    table =
        at::stack({images.squeeze(1), mean.select(1, 1), mean.select(1, 2), mean.select(1, 3)}, 1);
  }
  return {table.select(-1, 0), table.select(-1, 1), table.select(-1, 2), table.select(-1, 3)};
}

}  // namespace deeplight::metrics
