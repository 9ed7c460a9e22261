// Spatial selection: at each pixel, how much of each branch: [B, width, h, w] x branches -> the
// same, once.
//
// Each branch conv1 width -> width / 2; channel mean and maximum of all, mean first, are two maps;
// a 2 -> 2 convolution (a static one with bias, or a kernel given with each call) and a sigmoid
// make two masks, the first for the first branch, the second for the second; masked branches
// summed; conv1 width / 2 -> width. With a single branch both masks apply to it, an interpretation.
// Source: LSKNet (Li et al. 2023, arXiv 2303.09030); kernels given: MoCoLSK-Net (arXiv 2409.19835).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <optional>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"

namespace deeplight::nn {

struct SpatialSelectionOptions {
  std::int64_t width = 32;
  std::int64_t branches = 2;       ///< 1 or 2
  std::int64_t static_kernel = 7;  ///< odd; 0: the kernel is given with each call
};
DEEPLIGHT_OPTIONS(SpatialSelectionOptions, width, branches, static_kernel)

class SpatialSelectionImpl : public torch::nn::Module {
 public:
  using Options = SpatialSelectionOptions;
  explicit SpatialSelectionImpl(Options options = {});

  /// @param kernel  [B or 1, 2, 2, k, k] (out, in), k odd, where there is no static one
  /// @throws InvalidArgument  another number of branches, a kernel too much or too few
  at::Tensor forward(const std::vector<at::Tensor>& branches,
                     const std::optional<at::Tensor>& kernel = std::nullopt);

  /// Reach of the static kernel; a given one of k reaches k / 2 pixels.
  double margin() const { return static_cast<double>(options_.static_kernel / 2); }

  const std::vector<torch::nn::Conv2d>& reductions() const { return reductions_; }
  const torch::nn::Conv2d& masks() const { return masks_; }  ///< null where kernels are given
  const torch::nn::Conv2d& expand() const { return expand_; }

 private:
  at::Tensor convolve(const at::Tensor& maps, const std::optional<at::Tensor>& kernel);

  Options options_;
  std::vector<torch::nn::Conv2d> reductions_;
  torch::nn::Conv2d masks_{nullptr}, expand_{nullptr};
};
using SpatialSelection = Holder<SpatialSelectionImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/spatial_selection_inl.hpp"
#endif
