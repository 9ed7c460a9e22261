// Definitions of guide_alignment.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/guide_alignment.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE GuideAlignmentImpl::GuideAlignmentImpl(Options options)
    : torch::nn::Module("GuideAlignment") {
  conv0_ = register_module("conv0", conv3(2 * options.width, options.width));
  conv1_ = register_module("conv1", conv3(options.width, options.width));
}

DEEPLIGHT_INLINE at::Tensor GuideAlignmentImpl::forward(const at::Tensor& guide,
                                                        const at::Tensor& main) {
  return convolved(conv1_, convolved(conv0_, at::cat({main, guide}, 1), 0));
}

}  // namespace deeplight::nn
