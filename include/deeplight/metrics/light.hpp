// Night-light practice: how much of the light arrived.
#pragma once

#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

/// Sum of light in the prediction over sum of light in the target.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; summed in float64
/// @param target      the same shape
/// @return  float64, 1 when all light is kept: a scalar, or with Reduction::none one value per
///          image. 1 where both sums are zero, +-inf where only the target's is; NaN without a
///          valid pixel. Pooled is the ratio of the batch's sums, the figure to report.
/// @throws InvalidArgument  shapes differ, or the mask is not boolean
at::Tensor total_light_ratio(const at::Tensor& prediction, const at::Tensor& target,
                             const Options& options = {});

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/light_inl.hpp"
#endif
