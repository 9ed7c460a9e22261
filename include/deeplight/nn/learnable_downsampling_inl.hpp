// Definitions of learnable_downsampling.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <string>

#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/learnable_downsampling.hpp"
#include "deeplight/nn/network_shape.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE LearnableDownsamplingImpl::LearnableDownsamplingImpl(Options options)
    : torch::nn::Module("LearnableDownsampling") {
  const NetworkShape shape{.scale = options.scale, .width = options.width, .guides = {}};
  std::int64_t in = options.bands;
  for (const std::int64_t out : downsampling_channels(shape.levels(), options.width)) {
    const std::string name = "conv" + std::to_string(convolutions_.size());
    convolutions_.push_back(register_module(name, conv3(in, out, 2)));
    in = out;
  }
}

DEEPLIGHT_INLINE std::vector<at::Tensor> LearnableDownsamplingImpl::forward(
    const at::Tensor& guide) {
  std::vector<at::Tensor> levels;
  at::Tensor features = guide;
  for (auto& convolution : convolutions_) {
    features = at::relu(convolution->forward(features));
    levels.push_back(features);
  }
  return levels;
}

}  // namespace deeplight::nn
