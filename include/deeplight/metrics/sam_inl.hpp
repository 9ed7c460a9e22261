// Definitions of metrics/sam.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/atan2.h>
#include <ATen/ops/full.h>

#include <limits>
#include <numbers>
#include <vector>

#include "deeplight/metrics/sam.hpp"

namespace deeplight::metrics {
namespace detail {

DEEPLIGHT_INLINE at::Tensor in_unit(const at::Tensor& radians, AngleUnit unit) {
  return unit == AngleUnit::degrees ? radians * (180.0 / std::numbers::pi) : radians;
}

DEEPLIGHT_INLINE void check_bands(std::int64_t bands, bool allow_one_band) {
  require(
      bands > 1 || allow_one_band,
      "sam: one band has no spectrum, its angle is 0 wherever signs agree; take vectors 'image' "
      "(the whole image as one vector), or ask for it with allow_one_band");
}

// [N, C, ...] -> [N, ...]: angles between vectors along dimension 1, radians.
DEEPLIGHT_INLINE at::Tensor band_angles(const at::Tensor& prediction, const at::Tensor& target) {
  const auto norm = [](const at::Tensor& values) {
    return safe_sqrt(values.square().sum({1}, true));
  };
  const at::Tensor x_norm = norm(prediction), y_norm = norm(target);
  const at::Tensor x_zero = x_norm.eq(0), y_zero = y_norm.eq(0);
  const at::Tensor u = prediction / x_norm.masked_fill(x_zero, 1.0);
  const at::Tensor v = target / y_norm.masked_fill(y_zero, 1.0);
  // A zero vector has no direction: 1 beside a difference of 0 stands in for the sum.
  const at::Tensor zero = x_zero.logical_or(y_zero);
  const at::Tensor apart = norm((u - v).masked_fill(zero, 0.0));
  const at::Tensor together = norm((u + v).masked_fill(zero, 1.0));
  const at::Tensor one_zero = x_zero.logical_xor(y_zero);
  const at::Tensor known = u.isfinite().logical_and(v.isfinite()).all(1, true);
  return at::atan2(apart, together)
      .mul(2.0)
      .masked_fill(one_zero, std::numbers::pi / 2)
      .masked_fill(known.logical_not(), std::numeric_limits<double>::quiet_NaN())
      .squeeze(1);
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor Sam::statistics(const Part& part) const {
  detail::check_bands(part.target.size(1), allow_one_band);
  at::Tensor angles = detail::band_angles(part.prediction, part.target).unsqueeze(1);
  if (!part.valid.defined()) {
    const at::Tensor count =
        at::full({angles.size(0)}, static_cast<double>(angles.size(2)), angles.options());
    return detail::sum_state({count, detail::row_sum(angles)});
  }
  const at::Tensor valid = part.valid.all(1, true);
  angles = angles.masked_fill(valid.logical_not(), 0.0);
  return detail::sum_state({valid.sum({1, 2}, false, at::kDouble), detail::row_sum(angles)});
}

DEEPLIGHT_INLINE at::Tensor Sam::score(const at::Tensor& state) const {
  return detail::in_unit(detail::sum_at(state, 1) / State::count(state), unit);
}

DEEPLIGHT_INLINE at::Tensor ImageSam::statistics(const Part& part) const {
  return detail::sum_state({detail::row_count(part), detail::row_sum(part.prediction.square()),
                            detail::row_sum(part.target.square()),
                            detail::row_sum((part.prediction - part.target).square())});
}

DEEPLIGHT_INLINE at::Tensor ImageSam::score(const at::Tensor& state) const {
  const at::Tensor x = detail::safe_sqrt(detail::sum_at(state, 1));
  const at::Tensor y = detail::safe_sqrt(detail::sum_at(state, 2));
  const at::Tensor apart = detail::sum_at(state, 3);
  // |p - t|^2 = (|p| - |t|)^2 + 4 |p| |t| sin^2(angle / 2), and likewise with the sum and cosine.
  const at::Tensor sine = (apart - (x - y).square()).clamp_min(0.0);
  const at::Tensor cosine = ((x + y).square() - apart).clamp_min(0.0);
  const at::Tensor one_zero = x.eq(0).logical_xor(y.eq(0));
  const at::Tensor both_zero = x.eq(0).logical_and(y.eq(0));
  const at::Tensor angle =
      at::atan2(detail::safe_sqrt(sine), detail::safe_sqrt(cosine.masked_fill(both_zero, 1.0)))
          .mul(2.0)
          .masked_fill(one_zero.logical_and(apart.isfinite()), std::numbers::pi / 2);
  return detail::nan_where_empty(detail::in_unit(angle, unit), State::count(state));
}

DEEPLIGHT_INLINE at::Tensor sam(const at::Tensor& prediction, const at::Tensor& target,
                                const SamOptions& options) {
  if (options.vectors == SamVectors::image) {
    return detail::score_images(ImageSam{options.unit}, prediction, target, options.mask,
                                options.reduction);
  }
  if (options.reduction != Reduction::map) {
    return detail::score_images(Sam{options.unit, options.allow_one_band}, prediction, target,
                                options.mask, options.reduction);
  }
  detail::check_pair("sam", prediction, target);
  const std::int64_t bands = prediction.dim() < 3 ? 1 : prediction.size(-3);
  detail::check_bands(bands, options.allow_one_band);
  std::vector<std::int64_t> shape = detail::batch_shape(prediction);
  shape.push_back(prediction.size(-2));
  shape.push_back(prediction.size(-1));
  const auto flat = [&](const at::Tensor& image) {
    return image.reshape({-1, bands, shape.end()[-2], shape.end()[-1]});
  };
  const at::Tensor angles = detail::in_unit(
      detail::band_angles(flat(prediction.to(at::kDouble)), flat(target.to(at::kDouble))),
      options.unit);
  if (!options.mask) return angles.reshape(shape);
  const at::Tensor valid =
      flat(detail::expand_mask("sam", "mask", *options.mask, prediction)).all(1);
  return angles.masked_fill(valid.logical_not(), std::numeric_limits<double>::quiet_NaN())
      .reshape(shape);
}

}  // namespace deeplight::metrics
