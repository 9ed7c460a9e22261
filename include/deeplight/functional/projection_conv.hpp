// Strided and transposed convolution with activation and residual in one pass, and 1x1 convolution
// with PixelShuffle, which is the same thing.
//
//   out = PReLU(convolution(input) + bias) + alpha * residual
//
// The units of Haris et al. 2018 (arXiv 1803.02735): kernels 6/8/12/20 at strides 2/4/8/16.
// PixelShuffle: Shi et al. 2016 (arXiv 1609.05158), eq. 4. Without deeplight::ops on the CPU only.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "deeplight/core/config.hpp"
#include "deeplight/functional/pair.hpp"

namespace deeplight::functional {

/// What follows the sum of a projection; empty members are left out.
struct ProjectionTail {
  std::optional<at::Tensor> slope{};     ///< [O], of PReLU
  std::optional<at::Tensor> residual{};  ///< of the output's shape
  double alpha = 1.0;                    ///< factor of the residual
};

/// @param input   [B, I, H, W], any layout; a channels-last input gives a channels-last output
/// @param weight  [O, I, kh, kw]
/// @param bias    [O]
/// @return        [B, O, (H + 2*padding - kh)/stride + 1, ...]; differentiable in every tensor,
/// twice
/// @throws InvalidArgument  shapes that do not fit
at::Tensor projection_conv2d(const at::Tensor& input, const at::Tensor& weight,
                             const std::optional<at::Tensor>& bias, Pair stride, Pair padding,
                             const ProjectionTail& tail = {});

/// @param weight  [I, O, kh, kw]
/// @return        [B, O, (H - 1)*stride - 2*padding + kh, ...]
at::Tensor projection_conv_transpose2d(const at::Tensor& input, const at::Tensor& weight,
                                       const std::optional<at::Tensor>& bias, Pair stride,
                                       Pair padding, const ProjectionTail& tail = {});

/// pixel_shuffle(conv2d(input, weight, bias), upscale_factor), then the tail.
/// @param weight  [O*r*r, I, 1, 1]
/// @param bias    [O*r*r]
/// @return        [B, O, r*H, r*W]
at::Tensor pixel_shuffle_conv1x1(const at::Tensor& input, const at::Tensor& weight,
                                 const std::optional<at::Tensor>& bias, std::int64_t upscale_factor,
                                 const ProjectionTail& tail = {});

/// The three from plain ATen operations: slow, the oracle of the kernels.
at::Tensor projection_conv2d_reference(const at::Tensor& input, const at::Tensor& weight,
                                       const std::optional<at::Tensor>& bias, Pair stride,
                                       Pair padding, bool transposed,
                                       const ProjectionTail& tail = {});

}  // namespace deeplight::functional

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/projection_conv_inl.hpp"
#endif
