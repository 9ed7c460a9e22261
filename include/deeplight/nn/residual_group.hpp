// Residual group: RCABs, conv3, plus the input: [B, width, h, w] -> the same.
// Source: RCAN (Zhang et al. 2018, arXiv 1807.02758).
#pragma once

#include <ATen/TensorOperators.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <string>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/rcab.hpp"

namespace deeplight::nn {

struct ResidualGroupOptions {
  std::int64_t width = 32;
  std::int64_t blocks = 4;
  std::int64_t reduction = 16;  ///< of each block's channel attention
};
DEEPLIGHT_OPTIONS(ResidualGroupOptions, width, blocks, reduction)

class ResidualGroupImpl : public torch::nn::Module {
 public:
  using Options = ResidualGroupOptions;
  explicit ResidualGroupImpl(Options options = {})
      : torch::nn::Module("ResidualGroup"), options_(options) {
    require(options.blocks >= 1, "blocks must be at least 1, got ", options.blocks);
    for (std::int64_t block = 0; block < options.blocks; ++block) {
      blocks_.emplace_back(RCABOptions{.width = options.width, .reduction = options.reduction});
      register_module(block_name(block), blocks_.back().ptr());
    }
    conv_ = register_module("conv", conv3(options.width, options.width));
  }

  at::Tensor forward(const at::Tensor& features, const PooledScope& scope = {}) {
    at::Tensor local = features;
    for (std::int64_t block = 0; block < options_.blocks; ++block)
      local = blocks_[block](local, scope.of(block_name(block)));
    local = convolved(conv_, local);
    // As in the blocks; a sum keeps nothing for its backward pass.
    return local.scalar_type() == features.scalar_type() ? local.add_(features) : features + local;
  }

  double margin() const { return static_cast<double>(radius()); }

  /// Reach in pixels of its own grid.
  std::int64_t radius() const { return 2 * options_.blocks + 1; }

 private:
  static std::string block_name(std::int64_t block) { return "block" + std::to_string(block); }

  Options options_;
  std::vector<RCAB> blocks_;
  torch::nn::Conv2d conv_{nullptr};
};
using ResidualGroup = Holder<ResidualGroupImpl>;

}  // namespace deeplight::nn
