// Depthwise convolution with large and dilated kernels, as a differentiable tensor function.
// Source: one filter per channel, as in MobileNet (arXiv 1704.04861); large and dilated kernels as
// in LSKNet (arXiv 2303.09030) and MoCoLSK-Net (arXiv 2409.19835).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>

#include "deeplight/core/config.hpp"
#include "deeplight/functional/pair.hpp"

namespace deeplight::kernels {
template <template <class> class Table>
struct ByType;
template <class T>
struct DepthwiseTable;
using DepthwiseTables = ByType<DepthwiseTable>;
}  // namespace deeplight::kernels

namespace deeplight::functional {

/// Depthwise 2-D convolution of stride 1; names and layouts as torch's.
///
/// @param input   [B, C, H, W], contiguous or channels-last: the result has the same layout
/// @param weight  [C, 1, kh, kw], any size
/// @param bias    [C] or none
/// @return        [B, C, H + 2*padding - dilation*(kh - 1), ...]
/// Float32 and float64 are computed as such; bfloat16 and float16 are summed in float32 on the CPU.
/// No result depends on the number of threads.
/// @throws InvalidArgument  shapes that do not fit, with both values
at::Tensor depthwise_conv2d(const at::Tensor& input, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias = {}, Pair padding = {0, 0},
                            Pair dilation = {1, 1});

/// The same as a sum of shifted products of plain ATen operations, differentiable any number of
/// times and on every device. Slow: it is the oracle of the kernels.
at::Tensor depthwise_conv2d_reference(const at::Tensor& input, const at::Tensor& weight,
                                      const std::optional<at::Tensor>& bias = {},
                                      Pair padding = {0, 0}, Pair dilation = {1, 1});

namespace detail {

/// Gradients for input, weight, bias.
using DepthwiseGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// Our kernels, of the instruction set of `tables`.
at::Tensor depthwise_conv2d_cpu(const kernels::DepthwiseTables& tables, const at::Tensor& input,
                                const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                                Pair padding, Pair dilation);
DepthwiseGradients depthwise_conv2d_backward_cpu(const kernels::DepthwiseTables& tables,
                                                 const at::Tensor& grad, const at::Tensor& input,
                                                 const at::Tensor& weight, Pair padding,
                                                 Pair dilation);

}  // namespace detail
}  // namespace deeplight::functional

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/depthwise_conv_inl.hpp"
#endif
