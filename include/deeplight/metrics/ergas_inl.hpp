// Definitions of metrics/ergas.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include "deeplight/metrics/ergas.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE at::Tensor BandState::merge(const at::Tensor& first, const at::Tensor& second) {
  return detail::merge_sums(first, second);
}

DEEPLIGHT_INLINE at::Tensor BandState::count(const at::Tensor& state) {
  return detail::total(state.select(2, 0)).sum({1});
}

DEEPLIGHT_INLINE void Ergas::check() const {
  require(ratio.has_value(),
          "ergas: ratio must be given, the fine cell's side over the coarse one's (1/8 for x8)");
  require(*ratio > 0.0 && *ratio <= 1.0,
          "ergas: ratio is the fine cell's side over the coarse one's, above 0 and at most 1, got ",
          *ratio);
  require(bands >= 1, "ergas: at least one band, got ", bands);
}

DEEPLIGHT_INLINE at::Tensor Ergas::empty() const {
  return detail::zeros({1, bands, 3, 2});
}

DEEPLIGHT_INLINE at::Tensor Ergas::statistics(const Part& part) const {
  const std::int64_t seen = part.target.size(1);
  require(seen == bands, "ergas: images have ", seen, " bands, expected ", bands);
  const at::Tensor count = part.valid.defined() ? part.valid.sum({2}, false, at::kDouble)
                                                : at::full({part.target.size(0), seen},
                                                           static_cast<double>(part.target.size(2)),
                                                           part.target.options());
  return detail::new_sums(
      at::stack({count, detail::pixel_sum((part.prediction - part.target).square()),
                 detail::pixel_sum(part.target)},
                2));
}

DEEPLIGHT_INLINE at::Tensor Ergas::score(const at::Tensor& state) const {
  const at::Tensor sums = detail::total(state);
  const at::Tensor count = sums.select(2, 0), error = sums.select(2, 1), light = sums.select(2, 2);
  // (RMSE / mean)^2 = n E / L^2 with the sums E of squares and L of light.
  const at::Tensor exact = error.eq(0).logical_and(light.eq(0));
  const at::Tensor relative = count * error / light.square().masked_fill(exact, 1.0);
  const at::Tensor seen = count.gt(0).sum({1}, false, at::kDouble);
  const at::Tensor mean = relative.sum({1}) / seen;
  return detail::nan_where_empty(detail::safe_sqrt(mean).mul(100.0 * *ratio), seen);
}

DEEPLIGHT_INLINE at::Tensor ergas(const at::Tensor& prediction, const at::Tensor& target,
                                  const ErgasOptions& options) {
  detail::check_pair("ergas", prediction, target);
  const std::int64_t bands = prediction.dim() < 3 ? 1 : prediction.size(-3);
  return detail::score_images(Ergas{.ratio = options.ratio, .bands = bands}, prediction, target,
                              options.mask, options.reduction);
}

}  // namespace deeplight::metrics
