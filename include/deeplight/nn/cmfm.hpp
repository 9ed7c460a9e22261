// CMFM, the cross-modality fusion module: two parallel residual branches from coarse to fine, the
// second projected into the first, shallow results resized and concatenated into deeper ones.
//
// a, b [B, width, h, w] -> [B, width, h, w]; h and w multiples of 4. Stages at 1/4, 1/2 and 1 of
// the size; bilinear resizing, align_corners=false. Source: DeepLight (arXiv 2402.15659); the
// wiring is this project's interpretation, since the paper's figure fixes neither the scales nor
// the number of blocks.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/residual_block.hpp"

namespace deeplight::nn {

struct CMFMOptions {
  std::int64_t width = 64;
  std::int64_t blocks = 3;   ///< residual blocks per branch and stage
  bool cross_branch = true;  ///< false: no projection of b into a (the AMFF ablation)
};
DEEPLIGHT_OPTIONS(CMFMOptions, width, blocks, cross_branch)

class CMFMImpl : public torch::nn::Module {
 public:
  using Options = CMFMOptions;
  explicit CMFMImpl(Options options = {});

  at::Tensor forward(const at::Tensor& a, const at::Tensor& b);

  /// Reach in pixels of a and b.
  double margin() const;

 private:
  static constexpr std::int64_t stages = 3;
  at::Tensor run_blocks(std::int64_t branch, std::int64_t stage, at::Tensor features);

  Options options_;
  std::vector<torch::nn::Conv2d> merges_[2];  // per stage but the first
  std::vector<torch::nn::Conv2d> projections_;
  std::vector<ResidualBlock> blocks_[2];  // stage-major
  torch::nn::Conv2d out0_{nullptr}, out1_{nullptr};
};
using CMFM = Holder<CMFMImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/cmfm_inl.hpp"
#endif
