// Definitions of selective_kernel.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/large_selective_kernel.hpp"
#include "deeplight/nn/selective_kernel.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE at::Tensor selective_kernel(DepthwiseCascadeImpl& cascade,
                                             SpatialSelectionImpl& selection,
                                             const at::Tensor& features,
                                             const at::Tensor& multiplier,
                                             const std::optional<at::Tensor>& kernel) {
  const auto& depthwise = cascade.convolutions();
  const auto& reduce = selection.reductions();
  const auto& masks = selection.masks();
  if (depthwise.size() != 2 || kernel.has_value() != !masks)
    return multiplier * selection.forward(cascade.forward(features), kernel);
  functional::LargeSelectiveKernelWeights weights{.first = depthwise[0]->weight,
                                                  .first_bias = depthwise[0]->bias,
                                                  .second = depthwise[1]->weight,
                                                  .second_bias = depthwise[1]->bias,
                                                  .first_squeeze = reduce[0]->weight,
                                                  .first_squeeze_bias = reduce[0]->bias,
                                                  .second_squeeze = reduce[1]->weight,
                                                  .second_squeeze_bias = reduce[1]->bias,
                                                  .selection = {},
                                                  .selection_bias = std::nullopt,
                                                  .expand = selection.expand()->weight,
                                                  .expand_bias = selection.expand()->bias};
  if (kernel) {
    weights.selection = kernel->size(0) == 1 ? kernel->squeeze(0) : *kernel;
  } else {
    weights.selection = masks->weight;
    weights.selection_bias = masks->bias;
  }
  // On the CPU the kernels read planes: changed here, the maps are changed once, not again in the
  // backward pass.
  const bool planes = features.is_cpu();
  return functional::large_selective_kernel(
      planes ? features.contiguous() : features, planes ? multiplier.contiguous() : multiplier,
      weights,
      {.first_dilation = DepthwiseCascadeImpl::dilation_of(depthwise[0]),
       .second_dilation = DepthwiseCascadeImpl::dilation_of(depthwise[1])});
}

}  // namespace deeplight::nn
