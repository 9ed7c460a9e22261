// conv3, ReLU, conv3, plus the input: [B, width, h, w] -> the same. No normalisation.
// Source: the residual block of EDSR (Lim et al. 2017, arXiv 1707.02921) without its scaling.
#pragma once

#include <ATen/TensorOperators.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include "deeplight/core/options.hpp"
#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/holder.hpp"

namespace deeplight::nn {

struct ResidualBlockOptions {
  std::int64_t width = 64;
};
DEEPLIGHT_OPTIONS(ResidualBlockOptions, width)

class ResidualBlockImpl : public torch::nn::Module {
 public:
  using Options = ResidualBlockOptions;
  explicit ResidualBlockImpl(Options options = {}) : torch::nn::Module("ResidualBlock") {
    conv0_ = register_module("conv0", conv3(options.width, options.width));
    conv1_ = register_module("conv1", conv3(options.width, options.width));
  }

  at::Tensor forward(const at::Tensor& features) {
    return features + convolved(conv1_, convolved(conv0_, features, 0));
  }

  static double margin() { return 2; }

 private:
  torch::nn::Conv2d conv0_{nullptr}, conv1_{nullptr};
};
using ResidualBlock = Holder<ResidualBlockImpl>;

}  // namespace deeplight::nn
