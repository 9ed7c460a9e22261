// Definitions of spatial_transformer.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/affine_warp.hpp"
#include "deeplight/nn/spatial_transformer.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE SpatialTransformerImpl::SpatialTransformerImpl(Options options)
    : torch::nn::Module("SpatialTransformer"), options_(options) {
  require(options.max_shift > 0, "max_shift must be positive, got ", options.max_shift);
  require(options.statistics_window >= 4, "statistics_window must be at least 4, got ",
          options.statistics_window);
  conv0_ =
      register_module("conv0", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 7).padding(3)));
  conv1_ =
      register_module("conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 10, 5).padding(2)));
  linear0_ = register_module("linear0", torch::nn::Linear(160, 32));
  linear1_ = register_module("linear1", torch::nn::Linear(32, 6));
  const at::NoGradGuard no_grad;
  linear1_->weight.zero_();
  linear1_->bias.zero_();
}

DEEPLIGHT_INLINE at::Tensor SpatialTransformerImpl::forward(const at::Tensor& low_resolution) {
  require(low_resolution.dim() == 4 && low_resolution.size(1) == 1 && low_resolution.size(2) >= 4 &&
              low_resolution.size(3) >= 4,
          "the spatial transformer needs [B, 1, h, w] with h, w >= 4, got ",
          low_resolution.sizes());
  auto x =
      at::relu(at::max_pool2d(conv0_->forward(low_resolution), {2, 2}, {2, 2}, {0, 0}, {1, 1}));
  x = at::relu(at::max_pool2d(conv1_->forward(x), {2, 2}, {2, 2}, {0, 0}, {1, 1}));
  x = at::adaptive_avg_pool2d(x, {4, 4}).flatten(1);
  x = linear1_->forward(at::relu(linear0_->forward(x)));
  return x.view({-1, 2, 3});
}

DEEPLIGHT_INLINE at::Tensor SpatialTransformerImpl::of_raster(const ImageRows& low_resolution) {
  const std::int64_t height = low_resolution.rows, width = low_resolution.columns;
  const std::int64_t window_h = std::min(height, options_.statistics_window);
  const std::int64_t window_w = std::min(width, options_.statistics_window);
  std::vector<at::Tensor> matrices;
  const at::NoGradGuard no_grad;
  for (std::int64_t row = 0; row < height; row += window_h) {
    // The last window of a row or column is moved inside instead of being cut.
    const auto strip = low_resolution.read(std::min(row, height - window_h), window_h);
    std::vector<at::Tensor> windows;
    for (std::int64_t column = 0; column < width; column += window_w)
      windows.push_back(strip.narrow(3, std::min(column, width - window_w), window_w));
    matrices.push_back(forward(at::cat(windows)));
  }
  return std::get<0>(at::cat(matrices).median(0, true));
}

DEEPLIGHT_INLINE at::Tensor SpatialTransformerImpl::warp(const at::Tensor& image,
                                                         const at::Tensor& matrix, double centre_x,
                                                         double centre_y) const {
  return functional::pixel_warp(image, matrix, centre_x, centre_y, options_.max_shift);
}

DEEPLIGHT_INLINE double SpatialTransformerImpl::margin() const {
  return std::ceil(options_.max_shift) + 1;
}

}  // namespace deeplight::nn
