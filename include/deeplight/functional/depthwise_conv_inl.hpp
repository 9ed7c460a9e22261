// Definitions of depthwise_conv.hpp.
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
#include "deeplight/functional/depthwise_conv_composed_inl.hpp"
#include "deeplight/functional/half_precision.hpp"
#include "deeplight/functional/on_large_pages.hpp"
#include "deeplight/functional/ops_library.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/kernels/depthwise_conv_cpu.hpp"

namespace deeplight::functional {
namespace detail {

template <class T>
kernels::ImageView<T> depthwise_view(const at::Tensor& image, bool channels_last) {
  T* data;
  if constexpr (std::is_const_v<T>)
    data = image.const_data_ptr<std::remove_const_t<T>>();
  else
    data = image.mutable_data_ptr<T>();
  // A side of one pixel may have any stride; the kernels tell the layout by these two.
  if (!channels_last) return {data, image.stride(0), image.stride(1), image.stride(2), 1};
  const std::int64_t column = image.size(3) == 1 ? image.size(1) : image.stride(3);
  return {data, image.stride(0), 1, image.stride(2), column};
}

/// Channels-last images of a few channels would leave lanes empty: they are computed as planes.
inline bool computes_channels_last(const at::Tensor& input) {
  return input.size(1) >= 8 && input.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
}

/// The image in a layout that the kernels read; copied only where it has neither.
inline at::Tensor depthwise_operand(const at::Tensor& image, bool channels_last) {
  if (channels_last) return image.contiguous(at::MemoryFormat::ChannelsLast);
  const bool rows = image.stride(3) == 1 && image.stride(2) > 0;
  return rows ? image : image.contiguous();
}

inline kernels::DepthwiseGeometry depthwise_geometry(const at::Tensor& input,
                                                     const at::Tensor& weight, Pair padding,
                                                     Pair dilation) {
  return {input.size(0),
          input.size(1),
          input.size(2),
          input.size(3),
          {weight.size(2), weight.size(3), dilation[0], dilation[1]},
          padding[0],
          padding[1]};
}

DEEPLIGHT_INLINE at::Tensor depthwise_conv2d_cpu(const kernels::DepthwiseTables& tables,
                                                 const at::Tensor& input, const at::Tensor& weight,
                                                 const std::optional<at::Tensor>& bias,
                                                 Pair padding, Pair dilation) {
  check_depthwise(input, weight, bias, padding, dilation);
  const auto layout = input.suggest_memory_format();
  if (is_half(input)) {
    const auto wide = bias ? std::optional(bias->to(at::kFloat)) : std::nullopt;
    return depthwise_conv2d_cpu(tables, input.to(at::kFloat), weight.to(at::kFloat), wide, padding,
                                dilation)
        .to(input.scalar_type());
  }
  const bool channels_last = computes_channels_last(input);
  // There PyTorch's kernel already waits for memory. Results that the allocator always maps anew
  // are the exception: their first touch is dearer, and PyTorch's are on small pages.
  constexpr std::size_t always_mapped = std::size_t{32} << 20;
  if (channels_last && weight.size(2) <= 5 && weight.size(3) <= 5 && dilation == Pair{1, 1} &&
      input.nbytes() < always_mapped)
    return depthwise_conv2d_composed(input, weight, bias, padding, dilation);

  const auto g = depthwise_geometry(input, weight, padding, dilation);
  const auto image = depthwise_operand(input, channels_last), taps = weight.contiguous();
  const auto offset = bias ? bias->contiguous() : at::Tensor();
  const auto kept = channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  auto out = on_large_pages(at::empty({g.batch, g.channels, g.out_height(), g.out_width()},
                                      input.options().memory_format(kept)));
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "depthwise_conv2d", [&] {
    tables.of<scalar_t>().forward(g, depthwise_view<const scalar_t>(image, channels_last),
                                  taps.const_data_ptr<scalar_t>(), false,
                                  offset.defined() ? offset.const_data_ptr<scalar_t>() : nullptr,
                                  depthwise_view<scalar_t>(out, channels_last), torch_parallel());
  });
  return out.contiguous(layout);
}

DEEPLIGHT_INLINE DepthwiseGradients depthwise_conv2d_backward_cpu(
    const kernels::DepthwiseTables& tables, const at::Tensor& grad, const at::Tensor& input,
    const at::Tensor& weight, Pair padding, Pair dilation) {
  if (is_half(input)) {
    const auto [image, taps, offset] =
        depthwise_conv2d_backward_cpu(tables, grad.to(at::kFloat), input.to(at::kFloat),
                                      weight.to(at::kFloat), padding, dilation);
    const auto type = input.scalar_type();
    return {image.to(type), taps.to(type), offset.to(type)};
  }
  const auto layout = input.suggest_memory_format();
  const bool channels_last = computes_channels_last(input);
  const auto g = depthwise_geometry(input, weight, padding, dilation);
  auto turned = depthwise_geometry(grad, weight, {}, dilation);
  turned.pad_h = g.kernel.reach_h() - g.pad_h, turned.pad_w = g.kernel.reach_w() - g.pad_w;
  const auto image = depthwise_operand(input, channels_last);
  const auto result = depthwise_operand(grad, channels_last), taps = weight.contiguous();
  const auto kept = channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  auto image_grad = on_large_pages(at::empty(input.sizes(), input.options().memory_format(kept)));
  auto weight_grad = at::empty(weight.sizes(), weight.options());
  auto bias_grad = at::empty({g.channels}, weight.options());
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "depthwise_conv2d_backward", [&] {
    const auto& table = tables.of<scalar_t>();
    table.forward(turned, depthwise_view<const scalar_t>(result, channels_last),
                  taps.const_data_ptr<scalar_t>(), true, nullptr,
                  depthwise_view<scalar_t>(image_grad, channels_last), torch_parallel());
    table.weight_gradient(g, depthwise_view<const scalar_t>(image, channels_last),
                          depthwise_view<const scalar_t>(result, channels_last),
                          weight_grad.mutable_data_ptr<scalar_t>(),
                          bias_grad.mutable_data_ptr<scalar_t>(), torch_parallel());
  });
  return {image_grad.contiguous(layout), weight_grad, bias_grad};
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
    const auto padding = context->saved_data["padding"].toIntVector();
    const auto dilation = context->saved_data["dilation"].toIntVector();
    // With create_graph the gradients are differentiated again, which PyTorch's own can be.
    auto [input, weight, bias] =
        at::GradMode::is_enabled()
            ? depthwise_conv2d_backward_composed(grads[0], saved[0], saved[1],
                                                 {padding[0], padding[1]},
                                                 {dilation[0], dilation[1]})
            : Calls::backward(grads[0], saved[0], saved[1], padding, dilation);
    return {input, weight, context->saved_data["biased"].toBool() ? bias : at::Tensor(),
            at::Tensor(), at::Tensor()};
  }
};

/// The kernels as the including program is compiled.
inline const kernels::DepthwiseTables& native_depthwise() {
  static constexpr auto tables = kernels::depthwise_table<kernels::simd::Native>();
  return tables;
}

struct DepthwiseCpuCalls {
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias,
                            const std::vector<std::int64_t>& padding,
                            const std::vector<std::int64_t>& dilation) {
    return depthwise_conv2d_cpu(native_depthwise(), input, weight, bias, {padding[0], padding[1]},
                                {dilation[0], dilation[1]});
  }
  static DepthwiseGradients backward(const at::Tensor& grad, const at::Tensor& input,
                                     const at::Tensor& weight,
                                     const std::vector<std::int64_t>& padding,
                                     const std::vector<std::int64_t>& dilation) {
    return depthwise_conv2d_backward_cpu(native_depthwise(), grad, input, weight,
                                         {padding[0], padding[1]}, {dilation[0], dilation[1]});
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
