// Dynamic convolution from PyTorch's own operations, for devices without a kernel of ours and
// for cases that PyTorch's serves better: shape rules, forward, backward.
#pragma once

#include <ATen/Functions.h>

#include <array>
#include <tuple>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/pair.hpp"

namespace deeplight::functional::detail {

/// Gradients for input and kernel.
using DynamicGradients = std::tuple<at::Tensor, at::Tensor>;

/// Checks every shape. @throws InvalidArgument  with the rule and both values
inline void check_dynamic(const at::Tensor& input, const at::Tensor& kernel, Pair padding) {
  require(input.dim() == 4, "dynamic_conv2d: input must be [B, C, H, W], got ", input.sizes());
  require(kernel.dim() == 5 && kernel.size(0) == input.size(0) && kernel.size(2) == input.size(1),
          "dynamic_conv2d: kernel is ", kernel.sizes(), ", expected [", input.size(0), ", O, ",
          input.size(1), ", kh, kw] for the input ", input.sizes());
  require(kernel.size(1) > 0 && kernel.size(2) > 0 && kernel.size(3) > 0 && kernel.size(4) > 0,
          "dynamic_conv2d: kernel must have at least one tap and channel, got ", kernel.sizes());
  for (int side = 0; side < 2; ++side) {
    require(padding[side] >= 0, "dynamic_conv2d: padding must not be negative, got ",
            padding[side]);
    require(input.size(2 + side) + 2 * padding[side] >= kernel.size(3 + side),
            "dynamic_conv2d: input ", input.sizes(), " is smaller than the kernel ", kernel.sizes(),
            " with this padding");
  }
}

inline at::Tensor dynamic_conv2d_composed(const at::Tensor& input, const at::Tensor& kernel,
                                          Pair padding) {
  check_dynamic(input, kernel, padding);
  const std::int64_t batch = input.size(0);
  const std::int64_t rows = input.size(2) + 2 * padding[0] - kernel.size(3) + 1;
  const std::int64_t columns = input.size(3) + 2 * padding[1] - kernel.size(4) + 1;
  if (batch == 0) return at::empty({0, kernel.size(1), rows, columns}, input.options());
  const std::vector<std::int64_t> ones{1, 1};
  return at::conv2d(input.reshape({1, batch * input.size(1), input.size(2), input.size(3)}),
                    kernel.flatten(0, 1), {}, ones, padding, ones, batch)
      .contiguous()
      .view({batch, kernel.size(1), rows, columns});
}

inline DynamicGradients dynamic_conv2d_backward_composed(const at::Tensor& grad,
                                                         const at::Tensor& input,
                                                         const at::Tensor& kernel, Pair padding) {
  const std::int64_t batch = input.size(0);
  if (batch == 0) return {at::empty_like(input), at::empty_like(kernel)};
  const std::vector<std::int64_t> ones{1, 1}, zeros{0, 0};
  const auto [grad_input, grad_kernel, none] = at::convolution_backward(
      grad.reshape({1, batch * grad.size(1), grad.size(2), grad.size(3)}),
      input.reshape({1, batch * input.size(1), input.size(2), input.size(3)}), kernel.flatten(0, 1),
      c10::nullopt, ones, padding, ones, false, zeros, batch,
      std::array<bool, 3>{true, true, false});
  return {grad_input.reshape(input.sizes()), grad_kernel.reshape(kernel.sizes())};
}

}  // namespace deeplight::functional::detail
