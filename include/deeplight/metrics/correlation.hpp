// CC: Pearson's correlation coefficient over valid pixels.
#pragma once

#include "deeplight/metrics/common.hpp"
#include "deeplight/metrics/moments.hpp"

namespace deeplight::metrics {

/// Pearson's correlation coefficient, two passes (means first). Differentiable.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  float64 in [-1, 1]: a scalar, or with Reduction::none one value per image. 0 where
///          either side is constant over the valid pixels (all dark, one pixel): no linear relation
///          can be shown, even between two equal constants. NaN without a valid pixel, or when a
///          valid pixel is NaN or infinite.
/// @throws InvalidArgument  shapes differ, the mask is not boolean, Reduction::map
at::Tensor cc(const at::Tensor& prediction, const at::Tensor& target, const Options& options = {});

/// The policy of `cc`.
struct Cc {
  using State = MomentState;
  static constexpr const char* name = "cc";
  at::Tensor statistics(const Part& part) const { return State::statistics(part); }
  at::Tensor score(const at::Tensor& state) const;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/correlation_inl.hpp"
#endif
