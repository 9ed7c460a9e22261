// Depthwise convolutions one after another, every one's output kept: a large kernel in parts.
//
// [B, width, h, w] -> one map of that shape a kernel. 5 x 5, then 7 x 7 with dilation 3, see what
// one 23 x 23 kernel sees. Source: LSKNet (Li et al. 2023, arXiv 2303.09030).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <string>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/functional/depthwise_conv.hpp"
#include "deeplight/nn/holder.hpp"

namespace deeplight::nn {

struct DepthwiseCascadeOptions {
  std::int64_t width = 32;
  std::vector<std::int64_t> kernels = {5, 7};    ///< odd
  std::vector<std::int64_t> dilations = {1, 3};  ///< one a kernel
};
DEEPLIGHT_OPTIONS(DepthwiseCascadeOptions, width, kernels, dilations)

class DepthwiseCascadeImpl : public torch::nn::Module {
 public:
  using Options = DepthwiseCascadeOptions;
  /// @throws InvalidArgument  no kernel, an even one, not one dilation each
  explicit DepthwiseCascadeImpl(Options options = {}) : torch::nn::Module("DepthwiseCascade") {
    require(!options.kernels.empty() && options.kernels.size() == options.dilations.size(),
            "a cascade needs kernels and one dilation each, got ", options.kernels.size(),
            " kernels and ", options.dilations.size(), " dilations");
    for (std::size_t i = 0; i < options.kernels.size(); ++i) {
      const std::int64_t kernel = options.kernels[i], dilation = options.dilations[i];
      require(kernel >= 1 && kernel % 2 == 1, "kernels must be odd, got ", kernel);
      require(dilation >= 1, "dilations must be at least 1, got ", dilation);
      const std::int64_t reach = dilation * (kernel / 2);
      convolutions_.push_back(register_module(
          "depthwise" + std::to_string(i),
          torch::nn::Conv2d(torch::nn::Conv2dOptions(options.width, options.width, kernel)
                                .dilation(dilation)
                                .padding(reach)
                                .groups(options.width))));
      radius_ += reach;
    }
  }

  std::vector<at::Tensor> forward(const at::Tensor& features) {
    std::vector<at::Tensor> branches;
    for (auto& convolution : convolutions_)
      branches.push_back(functional::depthwise_conv2d(
          branches.empty() ? features : branches.back(), convolution->weight, convolution->bias,
          padding_of(convolution), dilation_of(convolution)));
    return branches;
  }

  double margin() const { return static_cast<double>(radius_); }
  std::int64_t radius() const { return radius_; }

  /// In the order in which they run.
  const std::vector<torch::nn::Conv2d>& convolutions() const { return convolutions_; }
  static functional::Pair dilation_of(const torch::nn::Conv2d& convolution) {
    return {convolution->options.dilation()->at(0), convolution->options.dilation()->at(1)};
  }

 private:
  static functional::Pair padding_of(const torch::nn::Conv2d& convolution) {
    const auto dilation = dilation_of(convolution);
    return {dilation[0] * (convolution->weight.size(2) / 2),
            dilation[1] * (convolution->weight.size(3) / 2)};
  }

  std::vector<torch::nn::Conv2d> convolutions_;
  std::int64_t radius_ = 0;
};
using DepthwiseCascade = Holder<DepthwiseCascadeImpl>;

}  // namespace deeplight::nn
