// 3x3 convolution of stride 1 and padding 1 with LeakyReLU, as inference computes it: a fourth of
// the multiplications where no gradient is asked for (F(4x4, 3x3) of Lavin and Gray 2016, arXiv
// 1509.09308: kernels/winograd_conv_cpu.hpp), and vectors of taps where there are few outputs to
// fill them (kernels/narrow_conv_cpu.hpp).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deeplight/core/config.hpp"

namespace deeplight::kernels {
struct Conv3x3Table;
}  // namespace deeplight::kernels

namespace deeplight::functional {

/// LeakyReLU(conv2d(input, weight, bias, padding 1)), in the memory layout of the input.
///
/// Channels-last float32 maps on the CPU are computed by the kernels of this library where no
/// gradient is asked for and either channels in and out are multiples of 16 and there are more than
/// a few pixels, or 16 channels or more become at most 4; no result of these depends on the number
/// of threads. All else is PyTorch's convolution. Between the two, last bits differ.
///
/// @param input   [B, C, H, W]
/// @param weight  [O, C, 3, 3]
/// @param bias    [O]
/// @param slope   of negative results; 1: none is changed
/// @return        [B, O, H, W]
/// Differentiable, any number of times.
/// @throws InvalidArgument  shapes that do not fit, with both values
at::Tensor conv3x3(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                   double slope = 1.0);

namespace detail {

// PyTorch's convolution, differentiable and on every device.
at::Tensor conv3x3_composed(const at::Tensor& input, const at::Tensor& weight,
                            const at::Tensor& bias, double slope);

// Our kernels of one instruction set where they cover the case, PyTorch's elsewhere.
at::Tensor conv3x3_cpu(const kernels::Conv3x3Table& table, const at::Tensor& input,
                       const at::Tensor& weight, const at::Tensor& bias, double slope);

}  // namespace detail
}  // namespace deeplight::functional

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/conv3x3_inl.hpp"
#endif
