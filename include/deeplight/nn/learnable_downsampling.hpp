// Learnable downsampling of a guide to the low-resolution grid: log2(r) x (conv3 stride 2, ReLU).
//
// [B, bands, r*h, r*w] -> features at 1/2, 1/4, ... of that size, the last [B, width, h, w].
// Source: DeepLight (arXiv 2402.15659): several stride-2 convolutions; their number and the
// channels bands -> width/2 -> width -> width are this project's choice.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"

namespace deeplight::nn {

struct LearnableDownsamplingOptions {
  std::int64_t bands = 1;
  std::int64_t scale = 8;  ///< 2, 4 or 8
  std::int64_t width = 64;
};
DEEPLIGHT_OPTIONS(LearnableDownsamplingOptions, bands, scale, width)

class LearnableDownsamplingImpl : public torch::nn::Module {
 public:
  using Options = LearnableDownsamplingOptions;
  explicit LearnableDownsamplingImpl(Options options = {});

  /// @return features fine to coarse: sizes 1/2, 1/4, ..., 1/scale of the guide's
  std::vector<at::Tensor> forward(const at::Tensor& guide);

  /// Reach in low-resolution pixels.
  static double margin() { return 1; }

 private:
  std::vector<torch::nn::Conv2d> convolutions_;
};
using LearnableDownsampling = Holder<LearnableDownsamplingImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/learnable_downsampling_inl.hpp"
#endif
