// Alignment of one guide's features with the night-light features.
//
// guide [B, width, h, w], main F_NTL [B, width, h, w] -> [B, width, h, w]:
// concatenation, conv3 2*width->width, ReLU, conv3 width->width.
// Source: DeepLight (arXiv 2402.15659): two further convolutions per guide; the rest is a choice.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"

namespace deeplight::nn {

struct GuideAlignmentOptions {
  std::int64_t width = 64;
};
DEEPLIGHT_OPTIONS(GuideAlignmentOptions, width)

class GuideAlignmentImpl : public torch::nn::Module {
 public:
  using Options = GuideAlignmentOptions;
  explicit GuideAlignmentImpl(Options options = {});

  at::Tensor forward(const at::Tensor& guide, const at::Tensor& main);

  static double margin() { return 2; }

 private:
  torch::nn::Conv2d conv0_{nullptr}, conv1_{nullptr};
};
using GuideAlignment = Holder<GuideAlignmentImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/guide_alignment_inl.hpp"
#endif
