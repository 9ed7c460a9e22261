// A depthwise cascade, a spatial selection and a product, in one pass where the fused operator
// covers them: [B, width, h, w] -> the same.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "deeplight/core/config.hpp"
#include "deeplight/nn/depthwise_cascade.hpp"
#include "deeplight/nn/spatial_selection.hpp"

namespace deeplight::nn {

/// multiplier * selection(cascade(features)); two branches go through
/// functional::large_selective_kernel.
/// @param kernel  [B or 1, 2, 2, k, k], where the selection has no static one
/// @throws InvalidArgument  as SpatialSelection
at::Tensor selective_kernel(DepthwiseCascadeImpl& cascade, SpatialSelectionImpl& selection,
                            const at::Tensor& features, const at::Tensor& multiplier,
                            const std::optional<at::Tensor>& kernel = std::nullopt);

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/selective_kernel_inl.hpp"
#endif
