// Definitions of metrics/moments.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <limits>

#include "deeplight/metrics/moments.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE at::Tensor MomentState::empty() {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  at::Tensor state = detail::zeros({1, 11});
  state.select(1, 7).fill_(infinity);
  state.select(1, 8).fill_(-infinity);
  state.select(1, 9).fill_(infinity);
  state.select(1, 10).fill_(-infinity);
  return state;
}

DEEPLIGHT_INLINE at::Tensor MomentState::statistics(const Part& part) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const at::Tensor invalid = part.valid.defined() ? part.valid.logical_not() : at::Tensor{};
  const auto masked = [&invalid](const at::Tensor& values, double filling) {
    return invalid.defined() ? values.masked_fill(invalid, filling) : values;
  };
  const at::Tensor count = detail::row_count(part);
  const at::Tensor divisor = count.clamp_min(1.0);
  const auto least = [&](const at::Tensor& values) {
    return masked(values.detach(), infinity).amin({1, 2});
  };
  const auto largest = [&](const at::Tensor& values) {
    return masked(values.detach(), -infinity).amax({1, 2});
  };
  const at::Tensor prediction_mean = detail::row_sum(part.prediction) / divisor;
  const at::Tensor target_mean = detail::row_sum(part.target) / divisor;
  const auto centred = [&](const at::Tensor& values, const at::Tensor& mean) {
    return masked(values - mean.reshape({-1, 1, 1}), 0.0);
  };
  const at::Tensor x = centred(part.prediction, prediction_mean);
  const at::Tensor y = centred(part.target, target_mean);
  return at::stack(
      {count, prediction_mean, target_mean, detail::row_sum(x.square()),
       detail::row_sum(y.square()), detail::row_sum(x * y),
       detail::row_sum((part.prediction - part.target).square()), least(part.prediction),
       largest(part.prediction), least(part.target), largest(part.target)},
      1);
}

DEEPLIGHT_INLINE at::Tensor MomentState::merge(const at::Tensor& first, const at::Tensor& second) {
  const detail::Moments a(first), b(second);
  const at::Tensor count = a.count + b.count;
  const at::Tensor share = b.count / count.clamp_min(1.0);
  const at::Tensor weight = a.count * share;
  const at::Tensor dx = b.prediction_mean - a.prediction_mean;
  const at::Tensor dy = b.target_mean - a.target_mean;
  return at::stack({count, a.prediction_mean + dx * share, a.target_mean + dy * share,
                    a.prediction_square + b.prediction_square + dx * dx * weight,
                    a.target_square + b.target_square + dy * dy * weight,
                    a.product + b.product + dx * dy * weight, a.error_square + b.error_square,
                    at::minimum(a.prediction_least, b.prediction_least),
                    at::maximum(a.prediction_largest, b.prediction_largest),
                    at::minimum(a.target_least, b.target_least),
                    at::maximum(a.target_largest, b.target_largest)},
                   1);
}

namespace detail {

DEEPLIGHT_INLINE Moments::Moments(const at::Tensor& state)
    : count(state.select(1, 0)),
      prediction_mean(state.select(1, 1)),
      target_mean(state.select(1, 2)),
      prediction_square(state.select(1, 3)),
      target_square(state.select(1, 4)),
      product(state.select(1, 5)),
      error_square(state.select(1, 6)),
      prediction_least(state.select(1, 7)),
      prediction_largest(state.select(1, 8)),
      target_least(state.select(1, 9)),
      target_largest(state.select(1, 10)) {}

DEEPLIGHT_INLINE at::Tensor Moments::prediction_constant() const {
  return prediction_least.eq(prediction_largest);
}

DEEPLIGHT_INLINE at::Tensor Moments::target_constant() const {
  return target_least.eq(target_largest);
}

}  // namespace detail
}  // namespace deeplight::metrics
