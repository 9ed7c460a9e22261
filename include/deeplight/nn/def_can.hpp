// DefCAN, the local part of the calibration-aware alignment: deformable convolution, then a
// reconstruction convolution: [B, 1, h, w] -> F_NTL [B, width, h, w].
//
// head conv3 1->width; offsets conv3 width->18 (27 when modulated), zero at the start, bounded by
// max_offset * tanh; deformable conv3, ReLU; reconstruction conv3.
// Source: DeepLight (arXiv 2402.15659) after Dai et al. 2017; head, bound and ReLU are choices.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"

namespace deeplight::nn {

struct DefCANOptions {
  std::int64_t width = 64;
  bool modulated = false;   ///< deformable convolution v2: a mask in [0, 1] per tap
  double max_offset = 4.0;  ///< bound of each offset, low-resolution pixels
};
DEEPLIGHT_OPTIONS(DefCANOptions, width, modulated, max_offset)

class DefCANImpl : public torch::nn::Module {
 public:
  using Options = DefCANOptions;
  explicit DefCANImpl(Options options = {});

  at::Tensor forward(const at::Tensor& low_resolution);

  /// Reach in low-resolution pixels: head, bounded deformable taps, reconstruction.
  double margin() const;

 private:
  Options options_;
  torch::nn::Conv2d head_{nullptr}, offset_{nullptr}, reconstruction_{nullptr};
  at::Tensor weight_, bias_;
};
using DefCAN = Holder<DefCANImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/def_can_inl.hpp"
#endif
