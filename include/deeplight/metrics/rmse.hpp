// Root mean squared error, in the images' units.
#pragma once

#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

/// Root mean squared error.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  float64, in the images' units: a scalar, or with Reduction::none one value per image.
///          0 for identical images; NaN without a valid pixel. The mean reduction averages the
///          images' roots; the pooled one is the root of one mean.
/// @throws InvalidArgument  shapes differ, or the mask is not boolean
at::Tensor rmse(const at::Tensor& prediction, const at::Tensor& target,
                const Options& options = {});

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/rmse_inl.hpp"
#endif
