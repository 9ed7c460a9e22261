// Means, variances and covariance of a pair of images, joined from part to part.
//
// Two passes over a part (means first), parts joined by the update of Chan, Golub and LeVeque
// 1979 (Stanford STAN-CS-79-773): no sum of squares of raw values, whose difference would lose the
// digits of images on a high level (temperatures in kelvin).
#pragma once

#include "deeplight/metrics/accumulator.hpp"

namespace deeplight::metrics {

/// The state of metrics that need second moments, [N, 11]: pixels, both means, both sums of
/// squares about the mean, the sum of products about the means, the sum of squared differences,
/// least and largest value of both sides.
struct MomentState {
  static at::Tensor empty();
  static at::Tensor statistics(const Part& part);
  static at::Tensor merge(const at::Tensor& first, const at::Tensor& second);
  static at::Tensor count(const at::Tensor& state) { return state.select(1, 0); }
};

namespace detail {

/// The columns of a state, [N] each.
struct Moments {
  explicit Moments(const at::Tensor& state);

  /// Rounding leaves a constant image a variance of 1e-30 rather than 0: extremes tell.
  at::Tensor prediction_constant() const;
  at::Tensor target_constant() const;

  at::Tensor count;
  at::Tensor prediction_mean, target_mean;
  at::Tensor prediction_square, target_square;  ///< sums of squares about the mean
  at::Tensor product;                           ///< sum of products about the means
  at::Tensor error_square;                      ///< sum of (prediction - target)^2
  at::Tensor prediction_least, prediction_largest;
  at::Tensor target_least, target_largest;
};

}  // namespace detail
}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/moments_inl.hpp"
#endif
