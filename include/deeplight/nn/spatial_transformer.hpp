// The spatial transformer's localisation net: low-resolution image -> affine displacement in
// pixels.
//
// [B, 1, h, w] -> [B, 2, 3]. conv7 1->8, max-pool 2, ReLU, conv5 8->10, max-pool 2, ReLU, adaptive
// average pooling 4x4, linear 160->32, ReLU, linear 32->6, which starts at zero: no displacement.
// Source: DeepLight (arXiv 2402.15659) after Jaderberg et al. 2015 (arXiv 1506.02025). The two
// convolutions are the paper's, their sizes and the unit (low-resolution pixels about the window's
// centre instead of normalised coordinates) are choices: see functional/affine_warp.hpp.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/types.hpp"

namespace deeplight::nn {

struct SpatialTransformerOptions {
  double max_shift = 2.0;  ///< bound of the displacement, low-resolution pixels
  std::int64_t statistics_window =
      24;  ///< training size: a raster's warp is a median over such windows
};
DEEPLIGHT_OPTIONS(SpatialTransformerOptions, max_shift, statistics_window)

class SpatialTransformerImpl : public torch::nn::Module {
 public:
  using Options = SpatialTransformerOptions;
  explicit SpatialTransformerImpl(Options options = {});

  /// One displacement per sample, about the centre of the image passed.
  at::Tensor forward(const at::Tensor& low_resolution);

  /// The displacement of a whole raster, read one row of windows at a time: the element-wise median
  /// over windows of the training size, [1, 2, 3], about the raster's centre.
  at::Tensor of_raster(const ImageRows& low_resolution);

  /// Warps [B, C, h, w] by `matrix` about (centre_x, centre_y), within the bound.
  at::Tensor warp(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                  double centre_y) const;

  /// Reach of the warp in low-resolution pixels.
  double margin() const;

 private:
  Options options_;
  torch::nn::Conv2d conv0_{nullptr}, conv1_{nullptr};
  torch::nn::Linear linear0_{nullptr}, linear1_{nullptr};
};
using SpatialTransformer = Holder<SpatialTransformerImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/spatial_transformer_inl.hpp"
#endif
