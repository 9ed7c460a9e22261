// Deformable convolution v1 and v2 (modulated), as a differentiable tensor function.
// Source: Dai et al. 2017 (arXiv 1703.06211); Zhu et al. 2019 (arXiv 1811.11168).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "deeplight/core/config.hpp"
#include "deeplight/functional/deform_conv_geometry.hpp"
#include "deeplight/kernels/deform_conv_table.hpp"

namespace deeplight::functional {

/// Deformable 2-D convolution; names and layouts as torchvision's.
///
/// @param input   [B, C, H, W]
/// @param offset  [B, 2*G*kh*kw, OH, OW], pixels; per offset group and kernel tap: dy, dx
/// @param weight  [O, C/groups, kh, kw]; the number of groups follows from its shape
/// @param bias    [O] or none
/// @param mask    [B, G*kh*kw, OH, OW], multiplies each sample (v2), or none (v1)
/// @return        [B, O, OH, OW]
/// A sample outside the image, or with a NaN or infinite offset, is 0.
/// @throws InvalidArgument  shapes that do not fit, with both values
at::Tensor deform_conv2d(const at::Tensor& input, const at::Tensor& offset,
                         const at::Tensor& weight, const std::optional<at::Tensor>& bias = {},
                         Pair stride = {1, 1}, Pair padding = {0, 0}, Pair dilation = {1, 1},
                         const std::optional<at::Tensor>& mask = {});

/// The same from plain ATen operations (bilinear gather, matrix product), differentiable any number
/// of times and on every device. Slow: it is the oracle of the kernels.
at::Tensor deform_conv2d_reference(const at::Tensor& input, const at::Tensor& offset,
                                   const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias = {}, Pair stride = {1, 1},
                                   Pair padding = {0, 0}, Pair dilation = {1, 1},
                                   const std::optional<at::Tensor>& mask = {});

namespace detail {

at::Tensor deform_conv2d_cpu(const kernels::DeformConvTable& table, const at::Tensor& input,
                             const at::Tensor& offset, const at::Tensor& weight,
                             const std::optional<at::Tensor>& bias, Pair stride, Pair padding,
                             Pair dilation, const std::optional<at::Tensor>& mask);

DeformGradients deform_conv2d_backward_cpu(const kernels::DeformConvTable& table,
                                           const at::Tensor& grad, const at::Tensor& input,
                                           const at::Tensor& offset, const at::Tensor& weight,
                                           const std::optional<at::Tensor>& bias, Pair stride,
                                           Pair padding, Pair dilation,
                                           const std::optional<at::Tensor>& mask);

/// The gradients as differentiable functions, from the reference: for derivatives of second order.
DeformGradients deform_conv2d_backward_reference(const at::Tensor& grad, const at::Tensor& input,
                                                 const at::Tensor& offset, const at::Tensor& weight,
                                                 const std::optional<at::Tensor>& bias, Pair stride,
                                                 Pair padding, Pair dilation,
                                                 const std::optional<at::Tensor>& mask);

}  // namespace detail
}  // namespace deeplight::functional

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/deform_conv_inl.hpp"
#endif
