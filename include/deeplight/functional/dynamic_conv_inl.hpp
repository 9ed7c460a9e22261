// Definitions of dynamic_conv.hpp.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <type_traits>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/dynamic_conv.hpp"
#include "deeplight/functional/dynamic_conv_composed_inl.hpp"
#include "deeplight/functional/half_precision.hpp"
#include "deeplight/functional/on_large_pages.hpp"
#include "deeplight/functional/ops_library.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/kernels/dynamic_conv_cpu.hpp"

namespace deeplight::functional {
namespace detail {

/// Above this, a matrix product per sample is as fast and PyTorch has a good one.
inline bool has_many_channels(const at::Tensor& kernel) {
  return kernel.size(1) * kernel.size(2) > 64;
}

inline kernels::DynamicGeometry dynamic_geometry(const at::Tensor& input, const at::Tensor& kernel,
                                                 Pair padding) {
  return {input.size(0),  input.size(1),  kernel.size(1), input.size(2), input.size(3),
          kernel.size(3), kernel.size(4), padding[0],     padding[1]};
}

DEEPLIGHT_INLINE at::Tensor dynamic_conv2d_cpu(const kernels::DynamicTables& tables,
                                               const at::Tensor& input, const at::Tensor& kernel,
                                               Pair padding) {
  check_dynamic(input, kernel, padding);
  const auto type = input.scalar_type();
  if (is_half(input))
    return dynamic_conv2d_cpu(tables, input.to(at::kFloat), kernel.to(at::kFloat), padding)
        .to(type);
  const auto g = dynamic_geometry(input, kernel, padding);
  auto out = on_large_pages(
      at::empty({g.batch, g.out_channels, g.out_height(), g.out_width()}, input.options()));
  if (has_many_channels(kernel)) {
    for (std::int64_t b = 0; b < g.batch; ++b)
      out[b].copy_(dynamic_conv2d_composed(input.narrow(0, b, 1), kernel.narrow(0, b, 1), padding)
                       .squeeze(0));
    return out;
  }
  const auto image = input.contiguous(), own = kernel.contiguous();
  AT_DISPATCH_FLOATING_TYPES(type, "dynamic_conv2d", [&] {
    tables.of<scalar_t>().forward(g, image.const_data_ptr<scalar_t>(),
                                  own.const_data_ptr<scalar_t>(), false,
                                  out.mutable_data_ptr<scalar_t>(), torch_parallel());
  });
  return out;
}

DEEPLIGHT_INLINE DynamicGradients dynamic_conv2d_backward_cpu(const kernels::DynamicTables& tables,
                                                              const at::Tensor& grad,
                                                              const at::Tensor& input,
                                                              const at::Tensor& kernel,
                                                              Pair padding) {
  const auto type = input.scalar_type();
  if (is_half(input)) {
    const auto [image, own] = dynamic_conv2d_backward_cpu(
        tables, grad.to(at::kFloat), input.to(at::kFloat), kernel.to(at::kFloat), padding);
    return {image.to(type), own.to(type)};
  }
  auto image_grad = on_large_pages(at::empty(input.sizes(), input.options()));
  auto kernel_grad = at::empty(kernel.sizes(), kernel.options());
  if (has_many_channels(kernel)) {
    for (std::int64_t b = 0; b < input.size(0); ++b) {
      const auto [image, own] = dynamic_conv2d_backward_composed(
          grad.narrow(0, b, 1), input.narrow(0, b, 1), kernel.narrow(0, b, 1), padding);
      image_grad[b].copy_(image.squeeze(0));
      kernel_grad[b].copy_(own.squeeze(0));
    }
    return {image_grad, kernel_grad};
  }
  const auto g = dynamic_geometry(input, kernel, padding);
  kernels::DynamicGeometry turned{g.batch,
                                  g.out_channels,
                                  g.channels,
                                  g.out_height(),
                                  g.out_width(),
                                  g.kernel_h,
                                  g.kernel_w,
                                  g.kernel_h - 1 - g.pad_h,
                                  g.kernel_w - 1 - g.pad_w};
  const auto image = input.contiguous(), result = grad.contiguous(), own = kernel.contiguous();
  AT_DISPATCH_FLOATING_TYPES(type, "dynamic_conv2d_backward", [&] {
    const auto& table = tables.of<scalar_t>();
    table.forward(turned, result.const_data_ptr<scalar_t>(), own.const_data_ptr<scalar_t>(), true,
                  image_grad.mutable_data_ptr<scalar_t>(), torch_parallel());
    table.kernel_gradient(g, image.const_data_ptr<scalar_t>(), result.const_data_ptr<scalar_t>(),
                          kernel_grad.mutable_data_ptr<scalar_t>(), torch_parallel());
  });
  return {image_grad, kernel_grad};
}

// `Calls` as in depthwise_conv_inl.hpp.
template <class Calls>
struct DynamicFunction : torch::autograd::Function<DynamicFunction<Calls>> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& kernel, std::vector<std::int64_t> padding) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({input, kernel});
    context->saved_data["padding"] = padding;
    return Calls::forward(input, kernel, padding);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto padding = context->saved_data["padding"].toIntVector();
    // With create_graph the gradients are differentiated again, which PyTorch's own can be.
    auto [input, kernel] = at::GradMode::is_enabled()
                               ? dynamic_conv2d_backward_composed(grads[0], saved[0], saved[1],
                                                                  {padding[0], padding[1]})
                               : Calls::backward(grads[0], saved[0], saved[1], padding);
    return {input, kernel, at::Tensor()};
  }
};

/// The kernels as the including program is compiled.
inline const kernels::DynamicTables& native_dynamic() {
  static constexpr auto tables = kernels::dynamic_table<kernels::simd::Native>();
  return tables;
}

struct DynamicCpuCalls {
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& kernel,
                            const std::vector<std::int64_t>& padding) {
    return dynamic_conv2d_cpu(native_dynamic(), input, kernel, {padding[0], padding[1]});
  }
  static DynamicGradients backward(const at::Tensor& grad, const at::Tensor& input,
                                   const at::Tensor& kernel,
                                   const std::vector<std::int64_t>& padding) {
    return dynamic_conv2d_backward_cpu(native_dynamic(), grad, input, kernel,
                                       {padding[0], padding[1]});
  }
};

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor dynamic_conv2d_reference(const at::Tensor& input,
                                                     const at::Tensor& kernel, Pair padding) {
  detail::check_dynamic(input, kernel, padding);
  const auto padded = at::constant_pad_nd(input, {padding[1], padding[1], padding[0], padding[0]});
  const std::int64_t rows = padded.size(2) - kernel.size(3) + 1;
  const std::int64_t columns = padded.size(3) - kernel.size(4) + 1;
  at::Tensor sum;
  for (std::int64_t y = 0; y < kernel.size(3); ++y) {
    for (std::int64_t x = 0; x < kernel.size(4); ++x) {
      const auto part = at::matmul(kernel.select(4, x).select(3, y),
                                   padded.narrow(2, y, rows).narrow(3, x, columns).flatten(2));
      sum = sum.defined() ? sum + part : part;
    }
  }
  return sum.reshape({input.size(0), kernel.size(1), rows, columns});
}

DEEPLIGHT_INLINE at::Tensor dynamic_conv2d(const at::Tensor& input, const at::Tensor& kernel,
                                           Pair padding) {
#ifdef DEEPLIGHT_OPS
  using Schema = at::Tensor(const at::Tensor&, const at::Tensor&, at::IntArrayRef);
  static const auto operation = [] {
    ops::link();
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow("deeplight::dynamic_conv2d", "")
        .typed<Schema>();
  }();
  return operation.call(input, kernel, padding);
#else
  require(input.device().is_cpu(),
          "dynamic_conv2d: the header-only form runs on the CPU, got a tensor on ", input.device(),
          "; link deeplight::ops for other devices");
  return detail::DynamicFunction<detail::DynamicCpuCalls>::apply(
      input, kernel, std::vector<std::int64_t>(padding.begin(), padding.end()));
#endif
}

}  // namespace deeplight::functional
