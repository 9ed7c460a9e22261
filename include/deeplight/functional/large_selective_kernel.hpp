// The large selective kernel, whole, as one differentiable tensor function.
// Source: Li et al. 2023, LSKNet (arXiv 2303.09030); with a kernel of selection per sample and
// another multiplier: MoCoLSK-Net (arXiv 2409.19835).
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/functional/pair.hpp"

namespace deeplight::kernels {
template <template <class> class Table>
struct ByType;
template <class T>
struct SelectiveTable;
using SelectiveTables = ByType<SelectiveTable>;
}  // namespace deeplight::kernels

namespace deeplight::functional {

/// Parameters of a large selective kernel on C channels, with D channels per branch and E results.
/// A bias without a value is zero. Kernel sizes are read from the shapes and must be odd.
struct LargeSelectiveKernelWeights {
  at::Tensor first;                                 ///< [C, 1, k1, k1]: depthwise, 5 x 5 in LSKNet
  std::optional<at::Tensor> first_bias{};           ///< [C]
  at::Tensor second;                                ///< [C, 1, k2, k2]: depthwise, on the first's
  std::optional<at::Tensor> second_bias{};          ///< [C]
  at::Tensor first_squeeze;                         ///< [D, C, 1, 1], D = C/2 in LSKNet
  std::optional<at::Tensor> first_squeeze_bias{};   ///< [D]
  at::Tensor second_squeeze;                        ///< [D, C, 1, 1]
  std::optional<at::Tensor> second_squeeze_bias{};  ///< [D]
  at::Tensor selection;                        ///< [2, 2, k, k], or [B, 2, 2, k, k]: one per sample
  std::optional<at::Tensor> selection_bias{};  ///< [2]
  at::Tensor expand;                           ///< [E, D, 1, 1]
  std::optional<at::Tensor> expand_bias{};     ///< [E]
};

/// Dilations of the two depthwise convolutions, rows and columns.
struct LargeSelectiveKernelOptions {
  Pair first_dilation{1, 1};
  Pair second_dilation{3, 3};
};

/// multiplier * expand(g0 * a + g1 * b), where a = squeeze(first(input)), b = squeeze(second(first(
/// input))) and [g0, g1] = sigmoid(selection * [mean, max over the channels of a and b]).
///
/// @param input       [B, C, H, W]
/// @param multiplier  [B, E, H, W]: the input itself in LSKNet, the guide in MoCoLSK-Net
/// @return            [B, E, H, W]
/// Every convolution is padded with zeros to keep H x W. Nothing between input and result is kept
/// for the backward pass: it is computed again. No result depends on the number of threads.
/// @throws InvalidArgument  shapes that do not fit, with both values
at::Tensor large_selective_kernel(const at::Tensor& input, const at::Tensor& multiplier,
                                  const LargeSelectiveKernelWeights& weights,
                                  const LargeSelectiveKernelOptions& options = {});

/// The same from the references of its parts, differentiable any number of times and on every
/// device. Slow: it is the oracle of the kernels.
at::Tensor large_selective_kernel_reference(const at::Tensor& input, const at::Tensor& multiplier,
                                            const LargeSelectiveKernelWeights& weights,
                                            const LargeSelectiveKernelOptions& options = {});

namespace detail {

// The order of the tensors of a large selective kernel in lists, and of their gradients.
enum SelectiveIndex : std::size_t {
  selective_first,
  selective_first_bias,
  selective_second,
  selective_second_bias,
  selective_first_squeeze,
  selective_first_squeeze_bias,
  selective_second_squeeze,
  selective_second_squeeze_bias,
  selective_selection,
  selective_selection_bias,
  selective_expand,
  selective_expand_bias,
  selective_count
};

/// Checks every shape. @throws InvalidArgument
void check_selective(const at::Tensor& input, const at::Tensor& multiplier, at::TensorList weights,
                     Pair first_dilation, Pair second_dilation);

// From PyTorch's own operations: every device without a kernel of ours.
at::Tensor large_selective_kernel_composed(const at::Tensor& input, const at::Tensor& multiplier,
                                           at::TensorList weights, Pair first_dilation,
                                           Pair second_dilation);

/// Gradients for input, multiplier and the weights in their order.
std::vector<at::Tensor> large_selective_kernel_backward_composed(
    const at::Tensor& grad, const at::Tensor& input, const at::Tensor& multiplier,
    at::TensorList weights, Pair first_dilation, Pair second_dilation);

// Our kernels, of the instruction set of `tables`.
at::Tensor large_selective_kernel_cpu(const kernels::SelectiveTables& tables,
                                      const at::Tensor& input, const at::Tensor& multiplier,
                                      at::TensorList weights, Pair first_dilation,
                                      Pair second_dilation);

std::vector<at::Tensor> large_selective_kernel_backward_cpu(
    const at::Tensor& grad, const at::Tensor& input, const at::Tensor& multiplier,
    at::TensorList weights, Pair first_dilation, Pair second_dilation);

}  // namespace detail
}  // namespace deeplight::functional

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/large_selective_kernel_inl.hpp"
#endif
