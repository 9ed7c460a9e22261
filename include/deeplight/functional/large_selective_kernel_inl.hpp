// Definitions of large_selective_kernel.hpp.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <type_traits>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/depthwise_conv.hpp"
#include "deeplight/functional/dynamic_conv.hpp"
#include "deeplight/functional/large_selective_kernel.hpp"
#include "deeplight/functional/large_selective_kernel_composed_inl.hpp"
#include "deeplight/functional/on_large_pages.hpp"
#include "deeplight/functional/ops_library.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/kernels/large_selective_kernel_table.hpp"

namespace deeplight::functional {
namespace detail {

/// The weights as the kernels take them: contiguous, of the input's type.
inline std::vector<at::Tensor> selective_operands(at::TensorList weights, at::ScalarType type) {
  std::vector<at::Tensor> plain;
  for (const auto& weight : weights) plain.push_back(weight.to(type).contiguous());
  return plain;
}

template <class T>
kernels::SelectiveWeights<T> selective_pointers(const std::vector<at::Tensor>& w) {
  const auto at = [&](SelectiveIndex index) {
    if constexpr (std::is_const_v<T>)
      return w[index].const_data_ptr<std::remove_const_t<T>>();
    else
      return w[index].mutable_data_ptr<T>();
  };
  return {at(selective_first),          at(selective_first_bias),
          at(selective_second),         at(selective_second_bias),
          at(selective_first_squeeze),  at(selective_first_squeeze_bias),
          at(selective_second_squeeze), at(selective_second_squeeze_bias),
          at(selective_selection),      at(selective_selection_bias),
          at(selective_expand),         at(selective_expand_bias)};
}

inline kernels::SelectiveGeometry selective_geometry(const at::Tensor& input,
                                                     at::TensorList weights, Pair first_dilation,
                                                     Pair second_dilation) {
  const auto& first = weights[selective_first];
  const auto& second = weights[selective_second];
  const auto& selection = weights[selective_selection];
  const std::int64_t rows = selection.size(-2), columns = selection.size(-1);
  return {input.size(0),
          input.size(1),
          weights[selective_first_squeeze].size(0),
          weights[selective_expand].size(0),
          input.size(2),
          input.size(3),
          {first.size(2), first.size(3), first_dilation[0], first_dilation[1]},
          {second.size(2), second.size(3), second_dilation[0], second_dilation[1]},
          {rows, columns, 1, 1},
          selection.dim() == 5 ? 4 * rows * columns : 0};
}

DEEPLIGHT_INLINE at::Tensor large_selective_kernel_cpu(const kernels::SelectiveTables& tables,
                                                       const at::Tensor& input,
                                                       const at::Tensor& multiplier,
                                                       at::TensorList weights, Pair first_dilation,
                                                       Pair second_dilation) {
  check_selective(input, multiplier, weights, first_dilation, second_dilation);
  if (input.numel() == 0 || multiplier.numel() == 0)
    return large_selective_kernel_composed(input, multiplier, weights, first_dilation,
                                           second_dilation);
  const auto type = is_half(input) ? at::kFloat : input.scalar_type();
  const auto image = input.to(type).contiguous(), factor = multiplier.to(type).contiguous();
  const auto plain = selective_operands(weights, type);
  auto out = on_large_pages(at::empty(factor.sizes(), factor.options()));
  AT_DISPATCH_FLOATING_TYPES(type, "large_selective_kernel", [&] {
    tables.of<scalar_t>().forward(
        selective_geometry(input, weights, first_dilation, second_dilation),
        selective_pointers<const scalar_t>(plain), image.const_data_ptr<scalar_t>(),
        factor.const_data_ptr<scalar_t>(), out.mutable_data_ptr<scalar_t>(), torch_parallel());
  });
  return out.to(multiplier.scalar_type());
}

DEEPLIGHT_INLINE std::vector<at::Tensor> large_selective_kernel_backward_cpu(
    const kernels::SelectiveTables& tables, const at::Tensor& grad, const at::Tensor& input,
    const at::Tensor& multiplier, at::TensorList weights, Pair first_dilation,
    Pair second_dilation) {
  if (input.numel() == 0 || multiplier.numel() == 0)
    return large_selective_kernel_backward_composed(grad, input, multiplier, weights,
                                                    first_dilation, second_dilation);
  const auto type = is_half(input) ? at::kFloat : input.scalar_type();
  const auto image = input.to(type).contiguous(), factor = multiplier.to(type).contiguous();
  const auto result = grad.to(type).contiguous();
  const auto plain = selective_operands(weights, type);
  auto image_grad = on_large_pages(at::empty(image.sizes(), image.options()));
  auto factor_grad = on_large_pages(at::empty(factor.sizes(), factor.options()));
  std::vector<at::Tensor> weight_grads;
  for (const auto& weight : plain) weight_grads.push_back(at::empty_like(weight));
  AT_DISPATCH_FLOATING_TYPES(type, "large_selective_kernel_backward", [&] {
    tables.of<scalar_t>().backward(
        selective_geometry(input, weights, first_dilation, second_dilation),
        selective_pointers<const scalar_t>(plain), image.const_data_ptr<scalar_t>(),
        factor.const_data_ptr<scalar_t>(), result.const_data_ptr<scalar_t>(),
        image_grad.mutable_data_ptr<scalar_t>(), factor_grad.mutable_data_ptr<scalar_t>(),
        selective_pointers<scalar_t>(weight_grads), torch_parallel());
  });
  std::vector<at::Tensor> all{image_grad.to(input.scalar_type()),
                              factor_grad.to(multiplier.scalar_type())};
  for (std::size_t i = 0; i < weights.size(); ++i)
    all.push_back(weight_grads[i].to(weights[i].scalar_type()));
  return all;
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
    const auto first = context->saved_data["first_dilation"].toIntVector();
    const auto second = context->saved_data["second_dilation"].toIntVector();
    const auto weights = at::TensorList(saved).slice(2);
    // With create_graph the gradients are differentiated again, which PyTorch's own can be.
    auto gradients =
        at::GradMode::is_enabled()
            ? large_selective_kernel_backward_composed(grads[0], saved[0], saved[1], weights,
                                                       {first[0], first[1]}, {second[0], second[1]})
            : Calls::backward(grads[0], saved[0], saved[1], weights, first, second);
    gradients.resize(gradients.size() + 2);  // the dilations have none
    return gradients;
  }
};

/// The kernels as the including program is compiled.
inline const kernels::SelectiveTables& native_selective() {
  static constexpr auto tables = kernels::large_selective_kernel_table<kernels::simd::Native>();
  return tables;
}

struct SelectiveCpuCalls {
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& multiplier,
                            at::TensorList weights, const std::vector<std::int64_t>& first,
                            const std::vector<std::int64_t>& second) {
    return large_selective_kernel_cpu(native_selective(), input, multiplier, weights,
                                      {first[0], first[1]}, {second[0], second[1]});
  }
  static std::vector<at::Tensor> backward(const at::Tensor& grad, const at::Tensor& input,
                                          const at::Tensor& multiplier, at::TensorList weights,
                                          const std::vector<std::int64_t>& first,
                                          const std::vector<std::int64_t>& second) {
    return large_selective_kernel_backward_cpu(native_selective(), grad, input, multiplier, weights,
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
