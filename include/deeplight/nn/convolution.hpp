// Shorthand for the convolutions that every part is made of.
#pragma once

#include <torch/nn/modules/conv.h>

#include <cstdint>

#include "deeplight/functional/conv3x3.hpp"
#include "deeplight/functional/projection_conv.hpp"
#include "deeplight/nn/checkpoint.hpp"

namespace deeplight::nn {

/// 3x3 convolution with bias that keeps the size (stride 1) or halves it (stride 2).
inline torch::nn::Conv2d conv3(std::int64_t in, std::int64_t out, std::int64_t stride = 1) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1).stride(stride));
}

/// LeakyReLU of such a convolution that keeps the size; slope 0: ReLU, 1: the convolution alone.
inline at::Tensor convolved(torch::nn::Conv2d conv, const at::Tensor& image, double slope = 1.0) {
  if (computing_segment())
    return functional::detail::conv3x3_composed(image, conv->weight, conv->bias, slope);
  return functional::conv3x3(image, conv->weight, conv->bias, slope);
}

/// 1x1 convolution with bias.
inline torch::nn::Conv2d conv1(std::int64_t in, std::int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1));
}

/// conv(image) of a 1x1 convolution, with the same bits on any number of threads: PyTorch's own
/// sums in an order that follows their number.
inline at::Tensor pointwise(torch::nn::Conv2d conv, const at::Tensor& image) {
  if (!image.is_cpu()) return conv->forward(image);
  return functional::projection_conv2d(image, conv->weight, conv->bias, {1, 1}, {0, 0});
}

}  // namespace deeplight::nn
