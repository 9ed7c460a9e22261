// Channel attention: features times a gate from their mean, [B, width, h, w] -> the same.
//
// Mean over the image, conv1 width -> width / reduction, ReLU, conv1 back, sigmoid.
// Source: RCAN (Zhang et al. 2018, arXiv 1807.02758).
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <algorithm>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/pooled_scope.hpp"

namespace deeplight::nn {

struct ChannelAttentionOptions {
  std::int64_t width = 32;
  std::int64_t reduction = 16;  ///< hidden channels are width / reduction, at least one
};
DEEPLIGHT_OPTIONS(ChannelAttentionOptions, width, reduction)

class ChannelAttentionImpl : public torch::nn::Module {
 public:
  using Options = ChannelAttentionOptions;
  explicit ChannelAttentionImpl(Options options = {}) : torch::nn::Module("ChannelAttention") {
    require(options.reduction >= 1, "reduction must be at least 1, got ", options.reduction);
    const std::int64_t hidden = std::max<std::int64_t>(options.width / options.reduction, 1);
    squeeze_ = register_module("squeeze", conv1(options.width, hidden));
    expand_ = register_module("expand", conv1(hidden, options.width));
  }

  at::Tensor forward(const at::Tensor& features, const PooledScope& scope = {}) {
    return features * gate(features, scope);
  }

  /// What the features are multiplied by, [B, width, 1, 1].
  at::Tensor gate(const at::Tensor& features, const PooledScope& scope = {}) {
    return scope.value("gate", [&] {
      const auto hidden = at::relu(squeeze_->forward(features.mean({2, 3}, /*keepdim=*/true)));
      return at::sigmoid(expand_->forward(hidden));
    });
  }

  /// Zero: with the gate given, the part is local.
  static double margin() { return 0; }

 private:
  torch::nn::Conv2d squeeze_{nullptr}, expand_{nullptr};
};
using ChannelAttention = Holder<ChannelAttentionImpl>;

}  // namespace deeplight::nn
