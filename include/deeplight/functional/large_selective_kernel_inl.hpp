// Definitions of large_selective_kernel.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/depthwise_conv.hpp"
#include "deeplight/functional/dynamic_conv.hpp"
#include "deeplight/functional/large_selective_kernel.hpp"
#include "deeplight/functional/large_selective_kernel_composed_inl.hpp"
#include "deeplight/functional/ops_library.hpp"

namespace deeplight::functional {
namespace detail {

DEEPLIGHT_INLINE at::Tensor large_selective_kernel_cpu(const at::Tensor& input,
                                                       const at::Tensor& multiplier,
                                                       at::TensorList weights, Pair first_dilation,
                                                       Pair second_dilation) {
  return large_selective_kernel_composed(input, multiplier, weights, first_dilation,
                                         second_dilation);
}

DEEPLIGHT_INLINE std::vector<at::Tensor> large_selective_kernel_backward_cpu(
    const at::Tensor& grad, const at::Tensor& input, const at::Tensor& multiplier,
    at::TensorList weights, Pair first_dilation, Pair second_dilation) {
  return large_selective_kernel_backward_composed(grad, input, multiplier, weights, first_dilation,
                                                  second_dilation);
}

// `Calls` as in depthwise_conv_inl.hpp.
template <class Calls>
struct SelectiveFunction : torch::autograd::Function<SelectiveFunction<Calls>> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& multiplier, at::TensorList weights,
                            std::vector<std::int64_t> first_dilation,
                            std::vector<std::int64_t> second_dilation) {
    const at::AutoDispatchBelowADInplaceOrView below;
    torch::autograd::variable_list saved{input, multiplier};
    saved.insert(saved.end(), weights.begin(), weights.end());
    context->save_for_backward(saved);
    context->saved_data["first_dilation"] = first_dilation;
    context->saved_data["second_dilation"] = second_dilation;
    return Calls::forward(input, multiplier, weights, first_dilation, second_dilation);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    auto gradients = Calls::backward(grads[0], saved[0], saved[1], at::TensorList(saved).slice(2),
                                     context->saved_data["first_dilation"].toIntVector(),
                                     context->saved_data["second_dilation"].toIntVector());
    gradients.resize(gradients.size() + 2);  // the dilations have none
    return gradients;
  }
};

struct SelectiveCpuCalls {
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& multiplier,
                            at::TensorList weights, const std::vector<std::int64_t>& first,
                            const std::vector<std::int64_t>& second) {
    return large_selective_kernel_cpu(input, multiplier, weights, {first[0], first[1]},
                                      {second[0], second[1]});
  }
  static std::vector<at::Tensor> backward(const at::Tensor& grad, const at::Tensor& input,
                                          const at::Tensor& multiplier, at::TensorList weights,
                                          const std::vector<std::int64_t>& first,
                                          const std::vector<std::int64_t>& second) {
    return large_selective_kernel_backward_cpu(grad, input, multiplier, weights,
                                               {first[0], first[1]}, {second[0], second[1]});
  }
};

/// The weights in the order of SelectiveIndex, biases filled with zeros.
inline std::vector<at::Tensor> selective_list(const LargeSelectiveKernelWeights& w) {
  const auto filled = [](const std::optional<at::Tensor>& bias, const at::Tensor& weight) {
    if (bias) return *bias;
    return at::zeros_symint({weight.sym_size(0)}, weight.options());
  };
  const auto gates = w.selection.dim() == 5 ? w.selection.transpose(0, 1) : w.selection;
  return {w.first,          filled(w.first_bias, w.first),
          w.second,         filled(w.second_bias, w.second),
          w.first_squeeze,  filled(w.first_squeeze_bias, w.first_squeeze),
          w.second_squeeze, filled(w.second_squeeze_bias, w.second_squeeze),
          w.selection,      filled(w.selection_bias, gates),
          w.expand,         filled(w.expand_bias, w.expand)};
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor large_selective_kernel_reference(
    const at::Tensor& input, const at::Tensor& multiplier,
    const LargeSelectiveKernelWeights& weights, const LargeSelectiveKernelOptions& options) {
  const auto w = detail::selective_list(weights);
  detail::check_selective(input, multiplier, w, options.first_dilation, options.second_dilation);
  const auto depthwise = [](const at::Tensor& image, const at::Tensor& weight,
                            const at::Tensor& bias, Pair dilation) {
    return depthwise_conv2d_reference(
        image, weight, bias,
        {dilation[0] * (weight.size(2) - 1) / 2, dilation[1] * (weight.size(3) - 1) / 2}, dilation);
  };
  const auto mix = [](const at::Tensor& image, const at::Tensor& weight, const at::Tensor& bias) {
    return at::matmul(weight.flatten(1), image.flatten(2))
               .reshape({image.size(0), weight.size(0), image.size(2), image.size(3)}) +
           bias.view({-1, 1, 1});
  };
  const auto first = depthwise(input, w[detail::selective_first], w[detail::selective_first_bias],
                               options.first_dilation);
  const auto second = depthwise(first, w[detail::selective_second],
                                w[detail::selective_second_bias], options.second_dilation);
  const auto a =
      mix(first, w[detail::selective_first_squeeze], w[detail::selective_first_squeeze_bias]);
  const auto b =
      mix(second, w[detail::selective_second_squeeze], w[detail::selective_second_squeeze_bias]);
  const auto both = at::cat({a, b}, 1);
  const auto maps =
      at::cat({both.mean(at::IntArrayRef{1}, true), std::get<0>(both.max(1, true))}, 1);
  const auto selection =
      detail::selection_per_sample(w[detail::selective_selection], input.size(0));
  const auto gates =
      (dynamic_conv2d_reference(maps, selection, {selection.size(3) / 2, selection.size(4) / 2}) +
       w[detail::selective_selection_bias].view({2, 1, 1}))
          .sigmoid();
  return multiplier * mix(a * gates.narrow(1, 0, 1) + b * gates.narrow(1, 1, 1),
                          w[detail::selective_expand], w[detail::selective_expand_bias]);
}

DEEPLIGHT_INLINE at::Tensor large_selective_kernel(const at::Tensor& input,
                                                   const at::Tensor& multiplier,
                                                   const LargeSelectiveKernelWeights& weights,
                                                   const LargeSelectiveKernelOptions& options) {
  const auto list = detail::selective_list(weights);
#ifdef DEEPLIGHT_OPS
  using Schema = at::Tensor(const at::Tensor&, const at::Tensor&, at::TensorList, at::IntArrayRef,
                            at::IntArrayRef);
  static const auto operation = [] {
    ops::link();
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow("deeplight::large_selective_kernel", "")
        .typed<Schema>();
  }();
  return operation.call(input, multiplier, list, options.first_dilation, options.second_dilation);
#else
  require(input.device().is_cpu(),
          "large_selective_kernel: the header-only form runs on the CPU, got a tensor on ",
          input.device(), "; link deeplight::ops for other devices");
  const auto sizes = [](Pair pair) { return std::vector<std::int64_t>(pair.begin(), pair.end()); };
  return detail::SelectiveFunction<detail::SelectiveCpuCalls>::apply(
      input, multiplier, at::TensorList(list), sizes(options.first_dilation),
      sizes(options.second_dilation));
#endif
}

}  // namespace deeplight::functional
