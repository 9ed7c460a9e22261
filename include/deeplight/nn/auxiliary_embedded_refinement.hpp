// AER, the auxiliary-embedded refinement: x2 steps to the fine grid, a prediction at every scale,
// and the auxiliary map (impervious surface) from the last prediction.
//
// fused [B, width, h, w] -> image [B, 1, r*h, r*w], pyramid, auxiliary logits [B, 1, r*h, r*w].
// Per step: conv1 width->4*width, PixelShuffle 2, ReLU; head conv3 width->1.
// Guide gate (option): features * (1 + g), g = conv3, ReLU, conv1 (zero at the start) over all
// guides at that size, the raw guides at full size: a path for fine detail around the coarse
// bottleneck. Source: DeepLight (arXiv 2402.15659); gate, skip, ReLU and initial values are this
// project's.
#pragma once

#include <torch/nn/modules/conv.h>

#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/functional/block_mean.hpp"
#include "deeplight/nn/checkpoint.hpp"
#include "deeplight/nn/composition.hpp"

namespace deeplight::nn {

struct AuxiliaryEmbeddedRefinementOptions {
  bool multi_scale = true;       ///< false: only the final prediction (w/o AER)
  bool auxiliary_head = true;    ///< false: no auxiliary map (w/o ISP)
  double auxiliary_bias = -4.7;  ///< the head's first bias: log-odds of a rare class
  bool bicubic_skip = false;     ///< predictions are added to the bicubic low resolution
  bool zero_heads = false;       ///< heads start at zero; with the skip, training starts at bicubic
  bool guide_gate = false;       ///< features times (1 + g) of all guides at that size
  std::int64_t gate_width = 16;  ///< hidden channels of each gate
  Consistency consistency = Consistency::none;  ///< block mean = input
};
DEEPLIGHT_OPTIONS(AuxiliaryEmbeddedRefinementOptions, multi_scale, auxiliary_head, auxiliary_bias,
                  bicubic_skip, zero_heads, guide_gate, gate_width, consistency)

class AuxiliaryEmbeddedRefinement : public torch::nn::Module {
 public:
  using Options = AuxiliaryEmbeddedRefinementOptions;
  AuxiliaryEmbeddedRefinement(const NetworkShape& shape, Options options);

  Output forward(const at::Tensor& fused, const RefinementInputs& inputs);

  double margin() const;

 private:
  struct Step {
    torch::nn::Conv2d expand{nullptr}, head{nullptr}, gate0{nullptr}, gate1{nullptr};
  };
  // ReLU of the 1x1 convolution of 4*width channels, with PixelShuffle 2: [B, width, 2h, 2w]
  static at::Tensor expanded(torch::nn::Conv2dImpl& layer, const at::Tensor& features);
  // {features, low resolution, guides where gated} -> {features unless last, prediction if any}
  static Tensors run_step(Step step, const Options& options, bool last, const Tensors& inputs);

  Options options_;
  std::int64_t scale_;
  std::vector<Step> steps_;
  torch::nn::Conv2d auxiliary_{nullptr};
};
static_assert(RefinementModule<AuxiliaryEmbeddedRefinement>);

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/auxiliary_embedded_refinement_inl.hpp"
#endif
