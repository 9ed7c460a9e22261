// Differences between prediction and truth: RMSE, MAE, bias, RSD, R2.
#pragma once

#include "deeplight/metrics/accumulator.hpp"
#include "deeplight/metrics/common.hpp"
#include "deeplight/metrics/moments.hpp"

namespace deeplight::metrics {

/// Root mean squared error.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  float64, in the images' units: a scalar, or with Reduction::none one value per image.
///          0 for identical images (and a gradient of 0 there); NaN without a valid pixel, or when
///          a valid pixel is NaN. The mean reduction averages the images' roots; the pooled one is
///          the root of one mean.
/// @throws InvalidArgument  shapes differ, the mask is not boolean, Reduction::map
at::Tensor rmse(const at::Tensor& prediction, const at::Tensor& target,
                const Options& options = {});

/// Mean absolute error; arguments and values as for `rmse`.
/// @return  float64, in the images' units; Reduction::map gives |prediction - target| in the
///          images' shape, NaN outside the mask
at::Tensor mae(const at::Tensor& prediction, const at::Tensor& target, const Options& options = {});

/// Mean of prediction - target: positive where the prediction is too bright.
/// @return  float64, in the images' units; Reduction::map gives the differences
at::Tensor bias(const at::Tensor& prediction, const at::Tensor& target,
                const Options& options = {});

/// Relative difference of the standard deviations, |sp - st| / st. The divisors n - 1 of both
/// sides cancel.
/// @return  float64, at least 0. 0 where both sides are constant over the valid pixels (so with one
///          pixel), +inf where only the target is; NaN without a valid pixel.
/// @throws InvalidArgument  shapes differ, the mask is not boolean, Reduction::map
at::Tensor rsd(const at::Tensor& prediction, const at::Tensor& target, const Options& options = {});

/// Coefficient of determination, 1 - sum (p - t)^2 / sum (t - mean t)^2: what the prediction
/// explains of the truth as it stands, without a line fitted to it (that is the square of `cc`).
/// @return  float64, at most 1, without a lower bound. Where the target is constant over the valid
///          pixels: 1 for equal images, else 0 (as scikit-learn). NaN without a valid pixel.
/// @throws InvalidArgument  shapes differ, the mask is not boolean, Reduction::map
at::Tensor r2(const at::Tensor& prediction, const at::Tensor& target, const Options& options = {});

/// The policy of `rmse`; sums pixels and squared differences.
struct Rmse {
  using State = SumState<2>;
  static constexpr const char* name = "rmse";
  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

/// The policy of `mae`; sums pixels and absolute differences.
struct Mae {
  using State = SumState<2>;
  static constexpr const char* name = "mae";
  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

/// The policy of `bias`; sums pixels and differences.
struct Bias {
  using State = SumState<2>;
  static constexpr const char* name = "bias";
  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

/// The policy of `rsd`.
struct Rsd {
  using State = MomentState;
  static constexpr const char* name = "rsd";
  at::Tensor statistics(const Part& part) const { return State::statistics(part); }
  at::Tensor score(const at::Tensor& state) const;
};

/// The policy of `r2`.
struct R2 {
  using State = MomentState;
  static constexpr const char* name = "r2";
  at::Tensor statistics(const Part& part) const { return State::statistics(part); }
  at::Tensor score(const at::Tensor& state) const;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/regression_inl.hpp"
#endif
