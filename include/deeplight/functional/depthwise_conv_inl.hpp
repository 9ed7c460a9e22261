// Definitions of depthwise_conv.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/depthwise_conv.hpp"
#include "deeplight/functional/ops_library.hpp"

namespace deeplight::functional {
namespace detail {

DEEPLIGHT_INLINE void check_depthwise(const at::Tensor& input, const at::Tensor& weight,
                                      const std::optional<at::Tensor>& bias, Pair padding,
                                      Pair dilation) {
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

DEEPLIGHT_INLINE at::Tensor depthwise_conv2d_composed(const at::Tensor& input,
                                                      const at::Tensor& weight,
                                                      const std::optional<at::Tensor>& bias,
                                                      Pair padding, Pair dilation) {
  check_depthwise(input, weight, bias, padding, dilation);
  const std::vector<std::int64_t> ones{1, 1};
  return at::conv2d(input, weight, bias, ones, padding, dilation, input.size(1))
      .contiguous(input.suggest_memory_format());
}

DEEPLIGHT_INLINE DepthwiseGradients depthwise_conv2d_backward_composed(const at::Tensor& grad,
                                                                       const at::Tensor& input,
                                                                       const at::Tensor& weight,
                                                                       Pair padding,
                                                                       Pair dilation) {
  const std::vector<std::int64_t> ones{1, 1}, zeros{0, 0}, channels{input.size(1)};
  auto [grad_input, grad_weight, grad_bias] =
      at::convolution_backward(grad, input, weight, channels, ones, padding, dilation, false, zeros,
                               input.size(1), std::array<bool, 3>{true, true, true});
  return {grad_input.contiguous(input.suggest_memory_format()), grad_weight.contiguous(),
          grad_bias};
}

DEEPLIGHT_INLINE at::Tensor depthwise_conv2d_cpu(const at::Tensor& input, const at::Tensor& weight,
                                                 const std::optional<at::Tensor>& bias,
                                                 Pair padding, Pair dilation) {
  return depthwise_conv2d_composed(input, weight, bias, padding, dilation);
}

DEEPLIGHT_INLINE DepthwiseGradients depthwise_conv2d_backward_cpu(const at::Tensor& grad,
                                                                  const at::Tensor& input,
                                                                  const at::Tensor& weight,
                                                                  Pair padding, Pair dilation) {
  return depthwise_conv2d_backward_composed(grad, input, weight, padding, dilation);
}

// `Calls` names the forward and backward it differentiates: the CPU kernels in the header-only
// form, the dispatcher in deeplight::ops.
template <class Calls>
struct DepthwiseFunction : torch::autograd::Function<DepthwiseFunction<Calls>> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            std::vector<std::int64_t> padding, std::vector<std::int64_t> dilation) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({input, weight});
    context->saved_data["biased"] = bias.has_value();
    context->saved_data["padding"] = padding;
    context->saved_data["dilation"] = dilation;
    return Calls::forward(input, weight, bias, padding, dilation);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    auto [input, weight, bias] =
        Calls::backward(grads[0], saved[0], saved[1], context->saved_data["padding"].toIntVector(),
                        context->saved_data["dilation"].toIntVector());
    return {input, weight, context->saved_data["biased"].toBool() ? bias : at::Tensor(),
            at::Tensor(), at::Tensor()};
  }
};

struct DepthwiseCpuCalls {
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias,
                            const std::vector<std::int64_t>& padding,
                            const std::vector<std::int64_t>& dilation) {
    return depthwise_conv2d_cpu(input, weight, bias, {padding[0], padding[1]},
                                {dilation[0], dilation[1]});
  }
  static DepthwiseGradients backward(const at::Tensor& grad, const at::Tensor& input,
                                     const at::Tensor& weight,
                                     const std::vector<std::int64_t>& padding,
                                     const std::vector<std::int64_t>& dilation) {
    return depthwise_conv2d_backward_cpu(grad, input, weight, {padding[0], padding[1]},
                                         {dilation[0], dilation[1]});
  }
};

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor depthwise_conv2d_reference(const at::Tensor& input,
                                                       const at::Tensor& weight,
                                                       const std::optional<at::Tensor>& bias,
                                                       Pair padding, Pair dilation) {
  detail::check_depthwise(input, weight, bias, padding, dilation);
  const auto padded = at::constant_pad_nd(input, {padding[1], padding[1], padding[0], padding[0]});
  const std::int64_t rows = padded.size(2) - dilation[0] * (weight.size(2) - 1);
  const std::int64_t columns = padded.size(3) - dilation[1] * (weight.size(3) - 1);
  at::Tensor sum;
  for (std::int64_t y = 0; y < weight.size(2); ++y) {
    for (std::int64_t x = 0; x < weight.size(3); ++x) {
      const auto part =
          padded.narrow(2, y * dilation[0], rows).narrow(3, x * dilation[1], columns) *
          weight.select(3, x).select(2, y).unsqueeze(-1);
      sum = sum.defined() ? sum + part : part;
    }
  }
  return bias ? sum + bias->view({-1, 1, 1}) : sum;
}

DEEPLIGHT_INLINE at::Tensor depthwise_conv2d(const at::Tensor& input, const at::Tensor& weight,
                                             const std::optional<at::Tensor>& bias, Pair padding,
                                             Pair dilation) {
#ifdef DEEPLIGHT_OPS
  using Schema = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                            at::IntArrayRef, at::IntArrayRef);
  static const auto operation = [] {
    ops::link();
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow("deeplight::depthwise_conv2d", "")
        .typed<Schema>();
  }();
  return operation.call(input, weight, bias, padding, dilation);
#else
  require(input.device().is_cpu(),
          "depthwise_conv2d: the header-only form runs on the CPU, got a tensor on ",
          input.device(), "; link deeplight::ops for other devices");
  return detail::DepthwiseFunction<detail::DepthwiseCpuCalls>::apply(
      input, weight, bias, std::vector<std::int64_t>(padding.begin(), padding.end()),
      std::vector<std::int64_t>(dilation.begin(), dilation.end()));
#endif
}

}  // namespace deeplight::functional
