// Shape rules of deformable convolution, shared by its reference, its kernels and its fake kernel.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/pair.hpp"
#include "deeplight/kernels/deform_point.hpp"

namespace deeplight::functional::detail {

/// Gradients for input, offset, weight, bias, mask; undefined where not asked for.
using DeformGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// Checks every shape and gives the sizes of one sample.
/// @throws InvalidArgument  with the rule and both values
inline kernels::DeformGeometry deform_geometry(const at::Tensor& input, const at::Tensor& offset,
                                               const at::Tensor& weight,
                                               const std::optional<at::Tensor>& bias, Pair stride,
                                               Pair padding, Pair dilation,
                                               const std::optional<at::Tensor>& mask) {
  require(input.dim() == 4, "deform_conv2d: input must be [B, C, H, W], got ", input.sizes());
  require(weight.dim() == 4, "deform_conv2d: weight must be [O, C/groups, kh, kw], got ",
          weight.sizes());
  require(offset.dim() == 4, "deform_conv2d: offset must be [B, 2*G*kh*kw, OH, OW], got ",
          offset.sizes());
  for (int side = 0; side < 2; ++side) {
    require(stride[side] > 0, "deform_conv2d: stride must be positive, got ", stride[side]);
    require(dilation[side] > 0, "deform_conv2d: dilation must be positive, got ", dilation[side]);
    require(padding[side] >= 0, "deform_conv2d: padding must not be negative, got ", padding[side]);
  }
  kernels::DeformGeometry g;
  g.channels = input.size(1), g.height = input.size(2), g.width = input.size(3);
  g.kernel_h = weight.size(2), g.kernel_w = weight.size(3);
  g.stride_h = stride[0], g.stride_w = stride[1];
  g.pad_h = padding[0], g.pad_w = padding[1];
  g.dilation_h = dilation[0], g.dilation_w = dilation[1];
  require(g.taps() > 0, "deform_conv2d: kernel must have at least one tap, got ", weight.sizes());
  g.out_height = (g.height + 2 * g.pad_h - g.dilation_h * (g.kernel_h - 1) - 1) / g.stride_h + 1;
  g.out_width = (g.width + 2 * g.pad_w - g.dilation_w * (g.kernel_w - 1) - 1) / g.stride_w + 1;
  require(g.out_height > 0 && g.out_width > 0, "deform_conv2d: input ", input.sizes(),
          " is smaller than the kernel ", weight.sizes(), " with this padding and dilation");
  for (const std::int64_t reach :
       {g.height, g.width, g.pad_h + g.dilation_h * g.kernel_h, g.pad_w + g.dilation_w * g.kernel_w,
        g.out_height * g.stride_h, g.out_width * g.stride_w})
    require(reach < kernels::deform_side_limit, "deform_conv2d: a side or a reach of ", reach,
            " pixels, expected less than ", kernels::deform_side_limit);
  require(weight.size(1) > 0 && g.channels % weight.size(1) == 0 &&
              weight.size(0) % (g.channels / weight.size(1)) == 0,
          "deform_conv2d: weight ", weight.sizes(), " does not divide the ", g.channels,
          " channels of the input into groups");
  require(offset.size(1) > 0 && offset.size(1) % (2 * g.taps()) == 0, "deform_conv2d: offset has ",
          offset.size(1), " channels, expected a multiple of ", 2 * g.taps(), " = 2 x kernel taps");
  g.offset_groups = offset.size(1) / (2 * g.taps());
  require(g.channels % g.offset_groups == 0, "deform_conv2d: ", g.channels,
          " channels are no multiple of ", g.offset_groups, " offset groups");
  const auto fits = [&](const at::Tensor& tensor, std::int64_t channels) {
    return tensor.dim() == 4 && tensor.size(0) == input.size(0) && tensor.size(1) == channels &&
           tensor.size(2) == g.out_height && tensor.size(3) == g.out_width;
  };
  require(fits(offset, offset.size(1)), "deform_conv2d: offset is ", offset.sizes(), ", expected [",
          input.size(0), ", ", offset.size(1), ", ", g.out_height, ", ", g.out_width, "]");
  if (mask) {
    const std::int64_t channels = g.offset_groups * g.taps();
    require(fits(*mask, channels), "deform_conv2d: mask is ", mask->sizes(), ", expected [",
            input.size(0), ", ", channels, ", ", g.out_height, ", ", g.out_width, "]");
  }
  if (bias) {
    require(bias->dim() == 1 && bias->size(0) == weight.size(0), "deform_conv2d: bias is ",
            bias->sizes(), ", expected [", weight.size(0), "]");
  }
  return g;
}

}  // namespace deeplight::functional::detail
