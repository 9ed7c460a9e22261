// Definitions of metrics/city.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/_unique.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/accumulator.hpp"
#include "deeplight/metrics/city.hpp"

namespace deeplight::metrics {
namespace detail {

DEEPLIGHT_INLINE at::Tensor expand_zones(const at::Tensor& zones, const at::Tensor& image) {
  require(zones.defined() && at::isIntegralType(zones.scalar_type(), false),
          "zones: labels are integers, got ",
          zones.defined() ? at::toString(zones.scalar_type()) : "nothing");
  bool fits = zones.dim() <= image.dim();
  for (std::int64_t i = 1; fits && i <= zones.dim(); ++i) {
    fits = zones.size(-i) == 1 || zones.size(-i) == image.size(-i);
  }
  require(fits, "zones: ", zones.sizes(), " does not broadcast to the image ", image.sizes());
  return zones.expand(image.sizes());
}

// Labels above 0 that occur, ascending.
DEEPLIGHT_INLINE at::Tensor occurring_labels(const at::Tensor& zones) {
  const at::Tensor all = std::get<0>(at::_unique(zones.to(at::kLong), true));
  return all.masked_select(all.gt(0));
}

// [Z, 3]: pixels and sums of lights of a part.
DEEPLIGHT_INLINE at::Tensor part_zone_sums(const Part& part, const at::Tensor& labels) {
  const std::int64_t number = labels.size(0);
  const at::Tensor wanted = part.zones.to(at::kLong).reshape({-1}).contiguous();
  const at::Tensor index = at::searchsorted(labels, wanted).clamp_max(number - 1);
  at::Tensor listed = labels.index_select(0, index).eq(wanted);
  if (part.valid.defined()) listed = listed.logical_and(part.valid.reshape({-1}));
  // One more row takes what belongs to no zone, and is cut off.
  const at::Tensor row = index.masked_fill(listed.logical_not(), number);
  const at::Tensor values = at::stack(
      {listed.to(at::kDouble), part.prediction.reshape({-1}), part.target.reshape({-1})}, 1);
  return zeros({number + 1, 3}).to(values.device()).index_add(0, row, values).narrow(0, 0, number);
}

DEEPLIGHT_INLINE at::Tensor gather_zones(const at::Tensor& prediction, const at::Tensor& target,
                                         const at::Tensor& zones,
                                         const std::optional<at::Tensor>& mask,
                                         const at::Tensor& labels) {
  at::Tensor state;
  for_each_part("zones", prediction, target, mask, zones, true, [&](const Part& part) {
    const at::Tensor seen = new_sums(part_zone_sums(part, labels));
    state = state.defined() ? merge_sums(state, seen) : seen;
  });
  return state;
}

DEEPLIGHT_INLINE ZoneSums zone_sums_of(const at::Tensor& labels, const at::Tensor& state) {
  const at::Tensor sums = total(state);
  return {labels, sums.select(1, 0), sums.select(1, 1), sums.select(1, 2)};
}

DEEPLIGHT_INLINE CityRegression regression_of(const ZoneSums& sums) {
  const at::Tensor seen = sums.count.gt(0);
  const at::Tensor zones = seen.sum({0}, false, at::kDouble);
  const auto chosen = [&seen](const at::Tensor& values) { return values.masked_select(seen); };
  const at::Tensor x = chosen(sums.target), y = chosen(sums.prediction);
  const at::Tensor dx = x - x.mean(), dy = y - y.mean();
  const at::Tensor xx = dx.square().sum(), yy = dy.square().sum(), xy = (dx * dy).sum();
  const auto constant = [&](const at::Tensor& values) {
    return x.numel() == 0 ? zones.eq(-1) : values.max().eq(values.min());
  };
  const at::Tensor flat_x = constant(x);
  const at::Tensor flat = flat_x.logical_or(constant(y)).logical_and(xy.isnan().logical_not());
  const at::Tensor slope = (xy / xx).masked_fill(flat_x, std::numeric_limits<double>::quiet_NaN());
  // Two divisions: the product of two sums of squares may overflow.
  const at::Tensor r2 = ((xy / xx.masked_fill(flat, 1.0)) * (xy / yy.masked_fill(flat, 1.0)))
                            .clamp(0.0, 1.0)
                            .masked_fill(flat, 0.0);
  return {r2, slope, y.mean() - slope * x.mean(), zones};
}

}  // namespace detail

DEEPLIGHT_INLINE ZoneSums zone_sums(const at::Tensor& prediction, const at::Tensor& target,
                                    const at::Tensor& zones,
                                    const std::optional<at::Tensor>& mask) {
  detail::check_pair("zones", prediction, target);
  const at::Tensor expanded = detail::expand_zones(zones, prediction);
  const at::Tensor labels = detail::occurring_labels(zones);
  if (labels.numel() == 0) {
    const at::Tensor none = detail::zeros({0}).to(prediction.device());
    return {labels, none, none, none};
  }
  return detail::zone_sums_of(labels,
                              detail::gather_zones(prediction, target, expanded, mask, labels));
}

DEEPLIGHT_INLINE CityRegression city_regression(const at::Tensor& prediction,
                                                const at::Tensor& target, const at::Tensor& zones,
                                                const std::optional<at::Tensor>& mask) {
  return detail::regression_of(zone_sums(prediction, target, zones, mask));
}

DEEPLIGHT_INLINE ZoneAccumulator::ZoneAccumulator(at::Tensor labels) : labels_(std::move(labels)) {
  require(labels_.defined() && labels_.scalar_type() == at::kLong && labels_.dim() == 1 &&
              labels_.numel() > 0,
          "zones: labels are a list of int64, at least one");
  require(labels_.diff().gt(0).all().item<bool>(), "zones: labels must ascend");
  reset();
}

DEEPLIGHT_INLINE ZoneAccumulator::ZoneAccumulator(std::int64_t zones)
    : ZoneAccumulator(at::arange(1, std::max<std::int64_t>(zones, 0) + 1, at::kLong)) {}

DEEPLIGHT_INLINE void ZoneAccumulator::update(const at::Tensor& prediction,
                                              const at::Tensor& target, const at::Tensor& zones,
                                              const std::optional<at::Tensor>& mask) {
  detail::check_pair("zones", prediction, target);
  labels_ = labels_.to(prediction.device());
  const at::Tensor seen = detail::gather_zones(
      prediction.detach(), target.detach(), detail::expand_zones(zones, prediction), mask, labels_);
  state_ = detail::merge_sums(state_.to(seen.device()), seen);
}

DEEPLIGHT_INLINE void ZoneAccumulator::merge(const ZoneAccumulator& other) {
  require(labels_.equal(other.labels_.to(labels_.device())),
          "zones: accumulators of different labels cannot merge");
  merge_state(other.state_);
}

DEEPLIGHT_INLINE void ZoneAccumulator::merge_state(const at::Tensor& state) {
  check_state(state);
  state_ = detail::merge_sums(state_.to(state.device()), state);
}

DEEPLIGHT_INLINE ZoneSums ZoneAccumulator::sums() const {
  return detail::zone_sums_of(labels_, state_);
}

DEEPLIGHT_INLINE CityRegression ZoneAccumulator::compute() const {
  return detail::regression_of(sums());
}

DEEPLIGHT_INLINE void ZoneAccumulator::reset() {
  state_ = detail::zeros({labels_.size(0), 3, 2});
}

DEEPLIGHT_INLINE void ZoneAccumulator::set_state(const at::Tensor& state) {
  check_state(state);
  state_ = state;
}

DEEPLIGHT_INLINE void ZoneAccumulator::check_state(const at::Tensor& state) const {
  require(state.defined() && state.scalar_type() == at::kDouble && state.sizes() == state_.sizes(),
          "zones: a state is float64 ", state_.sizes(), ", got ",
          state.defined() ? concat(state.sizes()) : "nothing");
}

}  // namespace deeplight::metrics
