// Definitions of def_can.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/nn/init.h>

#include <cmath>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/deform_conv.hpp"
#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/def_can.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE DefCANImpl::DefCANImpl(Options options)
    : torch::nn::Module("DefCAN"), options_(options) {
  require(options.max_offset > 0, "max_offset must be positive, got ", options.max_offset);
  const std::int64_t width = options.width;
  head_ = register_module("head", conv3(1, width));
  offset_ = register_module("offset", conv3(width, options.modulated ? 27 : 18));
  weight_ = register_parameter("weight", at::empty({width, width, 3, 3}));
  bias_ = register_parameter("bias", at::empty({width}));
  reconstruction_ = register_module("reconstruction", conv3(width, width));
  // As a plain convolution is initialised.
  torch::nn::init::kaiming_uniform_(weight_, std::sqrt(5.0));
  const double bound = 1.0 / std::sqrt(static_cast<double>(width * 9));
  torch::nn::init::uniform_(bias_, -bound, bound);
  const at::NoGradGuard no_grad;
  offset_->weight.zero_();
  offset_->bias.zero_();
}

DEEPLIGHT_INLINE at::Tensor DefCANImpl::forward(const at::Tensor& low_resolution) {
  const auto features = head_->forward(low_resolution);
  const auto raw = offset_->forward(features);
  const auto offset = options_.max_offset * at::tanh(raw.narrow(1, 0, 18) / options_.max_offset);
  std::optional<at::Tensor> mask;
  if (options_.modulated) mask = at::sigmoid(raw.narrow(1, 18, 9));
  const auto sampled =
      functional::deform_conv2d(features, offset, weight_, bias_, {1, 1}, {1, 1}, {1, 1}, mask);
  return convolved(reconstruction_, at::relu(sampled));
}

DEEPLIGHT_INLINE double DefCANImpl::margin() const {
  return 1 + (1 + std::ceil(options_.max_offset) + 1) + 1;
}

}  // namespace deeplight::nn
