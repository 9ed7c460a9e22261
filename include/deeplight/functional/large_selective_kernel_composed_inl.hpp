// The large selective kernel from PyTorch's own operations: shape rules, forward, backward.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/dynamic_conv.hpp"
#include "deeplight/functional/dynamic_conv_composed_inl.hpp"
#include "deeplight/functional/large_selective_kernel.hpp"

namespace deeplight::functional::detail {

DEEPLIGHT_INLINE void check_selective(const at::Tensor& input, const at::Tensor& multiplier,
                                      at::TensorList weights, Pair first_dilation,
                                      Pair second_dilation) {
  constexpr const char* name = "large_selective_kernel: ";
  require(input.dim() == 4, name, "input must be [B, C, H, W], got ", input.sizes());
  require(weights.size() == selective_count, name, "takes ", std::size_t{selective_count},
          " weights, got ", weights.size());
  const std::int64_t channels = input.size(1);
  const auto odd = [](const at::Tensor& weight, std::int64_t at) {
    return weight.size(at) % 2 == 1 && weight.size(at + 1) % 2 == 1;
  };
  for (const auto& [weight, label] : {std::pair{weights[selective_first], "first"},
                                      std::pair{weights[selective_second], "second"}}) {
    require(weight.dim() == 4 && weight.size(0) == channels && weight.size(1) == 1, name, label,
            " is ", weight.sizes(), ", expected [", channels, ", 1, k, k] for the input ",
            input.sizes());
    require(odd(weight, 2), name, label, " must have odd sides, got ", weight.sizes());
  }
  const auto& squeeze = weights[selective_first_squeeze];
  const auto& expand = weights[selective_expand];
  require(squeeze.dim() == 4 && squeeze.size(0) > 0 && squeeze.size(1) == channels &&
              squeeze.size(2) == 1 && squeeze.size(3) == 1,
          name, "first_squeeze is ", squeeze.sizes(), ", expected [D, ", channels, ", 1, 1]");
  require(weights[selective_second_squeeze].sizes() == squeeze.sizes(), name, "second_squeeze is ",
          weights[selective_second_squeeze].sizes(), ", expected ", squeeze.sizes(),
          " as first_squeeze");
  require(expand.dim() == 4 && expand.size(1) == squeeze.size(0) && expand.size(2) == 1 &&
              expand.size(3) == 1,
          name, "expand is ", expand.sizes(), ", expected [E, ", squeeze.size(0), ", 1, 1]");
  require(multiplier.dim() == 4 && multiplier.size(0) == input.size(0) &&
              multiplier.size(1) == expand.size(0) && multiplier.size(2) == input.size(2) &&
              multiplier.size(3) == input.size(3),
          name, "multiplier is ", multiplier.sizes(), ", expected [", input.size(0), ", ",
          expand.size(0), ", ", input.size(2), ", ", input.size(3), "]");
  const auto& selection = weights[selective_selection];
  const std::int64_t at = selection.dim() - 4;
  require((at == 0 || (at == 1 && selection.size(0) == input.size(0))) && selection.size(at) == 2 &&
              selection.size(at + 1) == 2,
          name, "selection is ", selection.sizes(), ", expected [2, 2, k, k] or [", input.size(0),
          ", 2, 2, k, k]");
  require(odd(selection, at + 2), name, "selection must have odd sides, got ", selection.sizes());
  const auto fits = [&](SelectiveIndex index, std::int64_t size, const char* label) {
    require(weights[index].dim() == 1 && weights[index].size(0) == size, name, label, " is ",
            weights[index].sizes(), ", expected [", size, "]");
  };
  fits(selective_first_bias, channels, "first_bias");
  fits(selective_second_bias, channels, "second_bias");
  fits(selective_first_squeeze_bias, squeeze.size(0), "first_squeeze_bias");
  fits(selective_second_squeeze_bias, squeeze.size(0), "second_squeeze_bias");
  fits(selective_selection_bias, 2, "selection_bias");
  fits(selective_expand_bias, expand.size(0), "expand_bias");
  for (int side = 0; side < 2; ++side) {
    require(first_dilation[side] > 0 && second_dilation[side] > 0, name,
            "dilation must be positive, got ", first_dilation[side], " and ",
            second_dilation[side]);
  }
}

// What the forward pass computes on its way to the result.
struct SelectiveStages {
  at::Tensor first, second, first_branch, second_branch, maps, peaks, gates, mixed, result;
};

inline at::Tensor convolve(const at::Tensor& input, const at::Tensor& weight,
                           const at::Tensor& bias, Pair dilation, std::int64_t groups) {
  const std::vector<std::int64_t> ones{1, 1};
  const std::vector<std::int64_t> padding{dilation[0] * (weight.size(2) - 1) / 2,
                                          dilation[1] * (weight.size(3) - 1) / 2};
  return at::conv2d(input, weight, bias, ones, padding, dilation, groups);
}

/// Gradients for input, weight, bias of `convolve`.
inline std::tuple<at::Tensor, at::Tensor, at::Tensor> convolve_backward(const at::Tensor& grad,
                                                                        const at::Tensor& input,
                                                                        const at::Tensor& weight,
                                                                        Pair dilation,
                                                                        std::int64_t groups) {
  const std::vector<std::int64_t> ones{1, 1}, zeros{0, 0}, biases{weight.size(0)};
  const std::vector<std::int64_t> padding{dilation[0] * (weight.size(2) - 1) / 2,
                                          dilation[1] * (weight.size(3) - 1) / 2};
  return at::convolution_backward(grad, input, weight, biases, ones, padding, dilation, false,
                                  zeros, groups, std::array<bool, 3>{true, true, true});
}

/// One kernel per sample, also where all share one.
inline at::Tensor selection_per_sample(const at::Tensor& selection, std::int64_t batch) {
  if (selection.dim() == 5) return selection;
  return selection.unsqueeze(0).expand({batch, -1, -1, -1, -1});
}

DEEPLIGHT_INLINE SelectiveStages selective_stages(const at::Tensor& input, at::TensorList w,
                                                  Pair first_dilation, Pair second_dilation) {
  SelectiveStages s;
  const std::int64_t channels = input.size(1);
  s.first = convolve(input, w[selective_first], w[selective_first_bias], first_dilation, channels);
  s.second =
      convolve(s.first, w[selective_second], w[selective_second_bias], second_dilation, channels);
  s.first_branch =
      convolve(s.first, w[selective_first_squeeze], w[selective_first_squeeze_bias], {1, 1}, 1);
  s.second_branch =
      convolve(s.second, w[selective_second_squeeze], w[selective_second_squeeze_bias], {1, 1}, 1);
  const auto both = at::cat({s.first_branch, s.second_branch}, 1);
  at::Tensor maximum;
  std::tie(maximum, s.peaks) = both.max(1, true);
  s.maps = at::cat({both.mean(at::IntArrayRef{1}, true), maximum}, 1);
  const auto selection = selection_per_sample(w[selective_selection], input.size(0));
  s.gates =
      (dynamic_conv2d_composed(s.maps, selection, {selection.size(3) / 2, selection.size(4) / 2}) +
       w[selective_selection_bias].view({2, 1, 1}))
          .sigmoid();
  s.mixed = s.first_branch * s.gates.narrow(1, 0, 1) + s.second_branch * s.gates.narrow(1, 1, 1);
  s.result = convolve(s.mixed, w[selective_expand], w[selective_expand_bias], {1, 1}, 1);
  return s;
}

DEEPLIGHT_INLINE at::Tensor large_selective_kernel_composed(const at::Tensor& input,
                                                            const at::Tensor& multiplier,
                                                            at::TensorList weights,
                                                            Pair first_dilation,
                                                            Pair second_dilation) {
  check_selective(input, multiplier, weights, first_dilation, second_dilation);
  if (input.numel() == 0) return at::empty(multiplier.sizes(), multiplier.options());
  return (selective_stages(input, weights, first_dilation, second_dilation).result * multiplier)
      .contiguous();
}

DEEPLIGHT_INLINE std::vector<at::Tensor> large_selective_kernel_backward_composed(
    const at::Tensor& grad, const at::Tensor& input, const at::Tensor& multiplier, at::TensorList w,
    Pair first_dilation, Pair second_dilation) {
  std::vector<at::Tensor> weight_grads(selective_count);
  if (input.numel() == 0) {
    std::vector<at::Tensor> all{at::zeros_like(input), at::zeros_like(multiplier)};
    for (const auto& weight : w) all.push_back(at::zeros_like(weight));
    return all;
  }
  const std::int64_t channels = input.size(1), half = w[selective_first_squeeze].size(0);
  const auto s = selective_stages(input, w, first_dilation, second_dilation);
  auto& g = weight_grads;
  auto [mixed_grad, expand_grad, expand_bias_grad] =
      convolve_backward(grad * multiplier, s.mixed, w[selective_expand], {1, 1}, 1);
  g[selective_expand] = expand_grad, g[selective_expand_bias] = expand_bias_grad;

  const auto gate_grad = at::cat(
      {(mixed_grad * s.first_branch).sum(1, true), (mixed_grad * s.second_branch).sum(1, true)}, 1);
  const auto signal = gate_grad * s.gates * (1 - s.gates);
  g[selective_selection_bias] = signal.sum(at::IntArrayRef{0, 2, 3});
  const auto selection = selection_per_sample(w[selective_selection], input.size(0));
  const auto [map_grad, selection_grad] = dynamic_conv2d_backward_composed(
      signal, s.maps, selection, {selection.size(3) / 2, selection.size(4) / 2});
  g[selective_selection] =
      w[selective_selection].dim() == 5 ? selection_grad : selection_grad.sum(0);

  const auto mean_grad = map_grad.narrow(1, 0, 1) / static_cast<double>(2 * half);
  auto branch_grad = mean_grad.repeat({1, 2 * half, 1, 1});
  branch_grad.scatter_add_(1, s.peaks, map_grad.narrow(1, 1, 1));
  branch_grad.narrow(1, 0, half).add_(mixed_grad * s.gates.narrow(1, 0, 1));
  branch_grad.narrow(1, half, half).add_(mixed_grad * s.gates.narrow(1, 1, 1));
  at::Tensor first_grad, second_grad, from_second, input_grad;
  std::tie(second_grad, g[selective_second_squeeze], g[selective_second_squeeze_bias]) =
      convolve_backward(branch_grad.narrow(1, half, half), s.second, w[selective_second_squeeze],
                        {1, 1}, 1);
  std::tie(first_grad, g[selective_first_squeeze], g[selective_first_squeeze_bias]) =
      convolve_backward(branch_grad.narrow(1, 0, half), s.first, w[selective_first_squeeze], {1, 1},
                        1);
  std::tie(from_second, g[selective_second], g[selective_second_bias]) =
      convolve_backward(second_grad, s.first, w[selective_second], second_dilation, channels);
  std::tie(input_grad, g[selective_first], g[selective_first_bias]) = convolve_backward(
      first_grad + from_second, input, w[selective_first], first_dilation, channels);

  std::vector<at::Tensor> all{input_grad.contiguous(), (grad * s.result).contiguous()};
  for (const auto& gradient : g) all.push_back(gradient.contiguous());
  return all;
}

}  // namespace deeplight::functional::detail
