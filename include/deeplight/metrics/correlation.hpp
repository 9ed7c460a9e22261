// CC: Pearson's correlation coefficient over valid pixels.
#pragma once

#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

/// Pearson's correlation coefficient, two passes (means first).
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  float64 in [-1, 1]: a scalar, or with Reduction::none one value per image. 0 where
///          either side is constant over the valid pixels (all dark, one pixel): no linear relation
///          can be shown, even between two equal constants. NaN without a valid pixel.
/// @throws InvalidArgument  shapes differ, or the mask is not boolean
at::Tensor cc(const at::Tensor& prediction, const at::Tensor& target, const Options& options = {});

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/correlation_inl.hpp"
#endif
