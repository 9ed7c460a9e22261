// SK block: two parallel depthwise branches and a choice between them for each channel:
// [B, width, h, w] -> the same.
//
// Depthwise 3 x 3 with dilation 1 and with dilation 2, each with batch norm and ReLU; then
// ChannelSelection with its ReLU. In training, batch norm couples the samples of a batch.
// Source: SKNet (Li et al. 2019, arXiv 1903.06586), which also normalises the hidden vector.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include <string>
#include <vector>

#include "deeplight/core/options.hpp"
#include "deeplight/nn/channel_selection.hpp"
#include "deeplight/nn/holder.hpp"

namespace deeplight::nn {

struct SKBlockOptions {
  std::int64_t width = 32;
  std::int64_t hidden = 32;
};
DEEPLIGHT_OPTIONS(SKBlockOptions, width, hidden)

class SKBlockImpl : public torch::nn::Module {
 public:
  using Options = SKBlockOptions;
  explicit SKBlockImpl(Options options = {})
      : torch::nn::Module("SKBlock"),
        selection_({.width = options.width, .hidden = options.hidden, .activation = true}) {
    for (const std::int64_t dilation : {1, 2}) {
      const std::string number = std::to_string(dilation - 1);
      convolutions_.push_back(register_module(
          "depthwise" + number,
          torch::nn::Conv2d(torch::nn::Conv2dOptions(options.width, options.width, 3)
                                .dilation(dilation)
                                .padding(dilation)
                                .groups(options.width))));
      norms_.push_back(register_module("norm" + number, torch::nn::BatchNorm2d(options.width)));
    }
    register_module("selection", selection_.ptr());
  }

  at::Tensor forward(const at::Tensor& features, const PooledScope& scope = {}) {
    std::vector<at::Tensor> branches;
    for (std::size_t i = 0; i < convolutions_.size(); ++i)
      branches.push_back(at::relu(norms_[i]->forward(convolutions_[i]->forward(features))));
    return selection_(branches, std::nullopt, scope.of("selection"));
  }

  static double margin() { return 2; }
  static std::int64_t radius() { return 2; }

 private:
  std::vector<torch::nn::Conv2d> convolutions_;
  std::vector<torch::nn::BatchNorm2d> norms_;
  ChannelSelection selection_;
};
using SKBlock = Holder<SKBlockImpl>;

}  // namespace deeplight::nn
