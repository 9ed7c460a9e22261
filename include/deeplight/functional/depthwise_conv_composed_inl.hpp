// Depthwise convolution from PyTorch's own operations, for devices without a kernel of ours and
// for cases that PyTorch's serves better: shape rules, forward, backward.
#pragma once

#include <ATen/Functions.h>

#include <array>
#include <optional>
#include <tuple>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/pair.hpp"

namespace deeplight::functional::detail {

/// Gradients for input, weight, bias.
using DepthwiseGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

/// Checks every shape. @throws InvalidArgument  with the rule and both values
inline void check_depthwise(const at::Tensor& input, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, Pair padding, Pair dilation) {
  require(input.dim() == 4, "depthwise_conv2d: input must be [B, C, H, W], got ", input.sizes());
  require(weight.dim() == 4 && weight.size(0) == input.size(1) && weight.size(1) == 1,
          "depthwise_conv2d: weight is ", weight.sizes(), ", expected [", input.size(1),
          ", 1, kh, kw] for the input ", input.sizes());
  for (int side = 0; side < 2; ++side) {
    require(dilation[side] > 0, "depthwise_conv2d: dilation must be positive, got ",
            dilation[side]);
    require(padding[side] >= 0, "depthwise_conv2d: padding must not be negative, got ",
            padding[side]);
    const std::int64_t taps = weight.size(2 + side);
    require(taps > 0, "depthwise_conv2d: kernel must have at least one tap, got ", weight.sizes());
    require(input.size(2 + side) + 2 * padding[side] - dilation[side] * (taps - 1) > 0,
            "depthwise_conv2d: input ", input.sizes(), " is smaller than the kernel ",
            weight.sizes(), " with this padding and dilation");
  }
  if (bias) {
    require(bias->dim() == 1 && bias->size(0) == weight.size(0), "depthwise_conv2d: bias is ",
            bias->sizes(), ", expected [", weight.size(0), "]");
  }
}

inline at::Tensor depthwise_conv2d_composed(const at::Tensor& input, const at::Tensor& weight,
                                            const std::optional<at::Tensor>& bias, Pair padding,
                                            Pair dilation) {
  check_depthwise(input, weight, bias, padding, dilation);
  const std::vector<std::int64_t> ones{1, 1};
  return at::conv2d(input, weight, bias, ones, padding, dilation, input.size(1))
      .contiguous(input.suggest_memory_format());
}

inline DepthwiseGradients depthwise_conv2d_backward_composed(const at::Tensor& grad,
                                                             const at::Tensor& input,
                                                             const at::Tensor& weight, Pair padding,
                                                             Pair dilation) {
  const std::vector<std::int64_t> ones{1, 1}, zeros{0, 0}, channels{input.size(1)};
  auto [grad_input, grad_weight, grad_bias] =
      at::convolution_backward(grad, input, weight, channels, ones, padding, dilation, false, zeros,
                               input.size(1), std::array<bool, 3>{true, true, true});
  return {grad_input.contiguous(input.suggest_memory_format()), grad_weight.contiguous(),
          grad_bias};
}

}  // namespace deeplight::functional::detail
