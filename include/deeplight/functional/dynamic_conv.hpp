// Convolution with a kernel of its own for every sample, as a differentiable tensor function.
// Source: filters generated from another input, as in dynamic filter networks (arXiv 1605.09673)
// and in the selection of MoCoLSK-Net (arXiv 2409.19835).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

#include "deeplight/core/config.hpp"
#include "deeplight/functional/pair.hpp"

namespace deeplight::kernels {
template <template <class> class Table>
struct ByType;
template <class T>
struct DynamicTable;
using DynamicTables = ByType<DynamicTable>;
}  // namespace deeplight::kernels

namespace deeplight::functional {

/// 2-D convolution of stride 1 of each sample with its own kernel.
///
/// @param input   [B, C, H, W]
/// @param kernel  [B, O, C, kh, kw]
/// @return        [B, O, H + 2*padding - kh + 1, W + 2*padding - kw + 1]
/// Differentiable for both. No result depends on the number of threads.
/// @throws InvalidArgument  shapes that do not fit, with both values
at::Tensor dynamic_conv2d(const at::Tensor& input, const at::Tensor& kernel, Pair padding = {0, 0});

/// The same as a sum of batched matrix products of plain ATen operations, differentiable any number
/// of times and on every device. Slow: it is the oracle of the kernels.
at::Tensor dynamic_conv2d_reference(const at::Tensor& input, const at::Tensor& kernel,
                                    Pair padding = {0, 0});

namespace detail {

/// Gradients for input and kernel.
using DynamicGradients = std::tuple<at::Tensor, at::Tensor>;

// Our kernels, of the instruction set of `tables`, between few channels; PyTorch's, sample by
// sample, between many.
at::Tensor dynamic_conv2d_cpu(const kernels::DynamicTables& tables, const at::Tensor& input,
                              const at::Tensor& kernel, Pair padding);
DynamicGradients dynamic_conv2d_backward_cpu(const kernels::DynamicTables& tables,
                                             const at::Tensor& grad, const at::Tensor& input,
                                             const at::Tensor& kernel, Pair padding);

}  // namespace detail
}  // namespace deeplight::functional

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/dynamic_conv_inl.hpp"
#endif
