// RCAB, the residual channel attention block: conv3, LeakyReLU 0.2, conv3, channel attention, plus
// the input: [B, width, h, w] -> the same. No normalisation.
// Source: RCAN (Zhang et al. 2018, arXiv 1807.02758), with the leaky slope of MoCoLSK-Net.
#pragma once

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include "deeplight/core/options.hpp"
#include "deeplight/nn/channel_attention.hpp"
#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/pooled_scope.hpp"

namespace deeplight::nn {

struct RCABOptions {
  std::int64_t width = 32;
  std::int64_t reduction = 16;  ///< of the channel attention
};
DEEPLIGHT_OPTIONS(RCABOptions, width, reduction)

class RCABImpl : public torch::nn::Module {
 public:
  using Options = RCABOptions;
  explicit RCABImpl(Options options = {})
      : torch::nn::Module("RCAB"),
        attention_({.width = options.width, .reduction = options.reduction}) {
    conv0_ = register_module("conv0", conv3(options.width, options.width));
    conv1_ = register_module("conv1", conv3(options.width, options.width));
    register_module("attention", attention_.ptr());
  }

  at::Tensor forward(const at::Tensor& features, const PooledScope& scope = {}) {
    auto local = convolved(conv1_, convolved(conv0_, features, 0.2));
    const auto gate = attention_->gate(local, scope.of("attention"));
    // Over what nobody else holds: fresh memory costs more than the sum. Autocast's is narrower.
    const bool in_place =
        !at::GradMode::is_enabled() && local.scalar_type() == features.scalar_type();
    return in_place ? at::addcmul_out(local, features, local, gate)
                    : at::addcmul(features, local, gate);
  }

  static double margin() { return 2; }

 private:
  torch::nn::Conv2d conv0_{nullptr}, conv1_{nullptr};
  ChannelAttention attention_;
};
using RCAB = Holder<RCABImpl>;

}  // namespace deeplight::nn
