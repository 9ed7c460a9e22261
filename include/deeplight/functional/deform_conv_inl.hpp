// Definitions of deform_conv.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "deeplight/functional/deform_conv.hpp"
#include "deeplight/functional/deform_conv_cpu_inl.hpp"
#include "deeplight/functional/deform_conv_geometry.hpp"
#include "deeplight/functional/ops_library.hpp"

namespace deeplight::functional {

DEEPLIGHT_INLINE at::Tensor deform_conv2d_reference(const at::Tensor& input,
                                                    const at::Tensor& offset,
                                                    const at::Tensor& weight,
                                                    const std::optional<at::Tensor>& bias,
                                                    Pair stride, Pair padding, Pair dilation,
                                                    const std::optional<at::Tensor>& mask) {
  const auto g =
      detail::deform_geometry(input, offset, weight, bias, stride, padding, dilation, mask);
  const std::int64_t batch = input.size(0), taps = g.taps(), points = taps * g.positions();
  const auto floats = offset.options();
  const auto rows = at::arange(g.out_height, floats).mul(g.stride_h).sub(g.pad_h);
  const auto columns = at::arange(g.out_width, floats).mul(g.stride_w).sub(g.pad_w);
  const auto tap_rows =
      at::arange(g.kernel_h, floats).mul(g.dilation_h).repeat_interleave(g.kernel_w);
  const auto tap_columns = at::arange(g.kernel_w, floats).mul(g.dilation_w).repeat({g.kernel_h});
  const auto shifted = offset.reshape({batch, g.offset_groups, taps, 2, g.out_height, g.out_width});
  auto y = shifted.select(3, 0) + tap_rows.view({taps, 1, 1}) + rows.view({1, -1, 1});
  auto x = shifted.select(3, 1) + tap_columns.view({taps, 1, 1}) + columns.view({1, 1, -1});
  const auto inside = y.gt(-1)
                          .logical_and(y.lt(g.height))
                          .logical_and(x.gt(-1))
                          .logical_and(x.lt(g.width));  // false for NaN
  y = at::where(inside, y, at::zeros({}, floats));
  x = at::where(inside, x, at::zeros({}, floats));
  const auto y0 = y.floor(), x0 = x.floor();
  const auto ly = y - y0, lx = x - x0;

  const auto image = input.reshape({batch, g.offset_groups, g.channels_per_group(), -1});
  at::Tensor sampled;
  for (int corner = 0; corner < 4; ++corner) {
    const bool low = corner < 2, left = corner % 2 == 0;
    const auto row = y0 + (low ? 0 : 1), column = x0 + (left ? 0 : 1);
    const auto valid = inside.logical_and(row.ge(0))
                           .logical_and(row.lt(g.height))
                           .logical_and(column.ge(0))
                           .logical_and(column.lt(g.width));
    const auto index = (row.clamp(0, g.height - 1).to(at::kLong) * g.width +
                        column.clamp(0, g.width - 1).to(at::kLong))
                           .reshape({batch, g.offset_groups, 1, points})
                           .expand({-1, -1, g.channels_per_group(), -1});
    const auto weighting = (low ? 1 - ly : ly) * (left ? 1 - lx : lx) * valid;
    const auto part =
        image.gather(3, index) * weighting.reshape({batch, g.offset_groups, 1, points});
    sampled = sampled.defined() ? sampled + part : part;
  }
  if (mask) sampled = sampled * mask->reshape({batch, g.offset_groups, 1, points});

  const std::int64_t groups = g.channels / weight.size(1);
  const auto grouped = sampled.reshape({batch, groups, weight.size(1) * taps, g.positions()});
  const auto kernel = weight.reshape({groups, weight.size(0) / groups, weight.size(1) * taps});
  auto out =
      at::matmul(kernel, grouped).reshape({batch, weight.size(0), g.out_height, g.out_width});
  return bias ? out + bias->view({1, -1, 1, 1}) : out;
}

namespace detail {

DEEPLIGHT_INLINE DeformGradients deform_conv2d_backward_reference(
    const at::Tensor& grad, const at::Tensor& input, const at::Tensor& offset,
    const at::Tensor& weight, const std::optional<at::Tensor>& bias, Pair stride, Pair padding,
    Pair dilation, const std::optional<at::Tensor>& mask) {
  // Views, so that what is saved of the forward is differentiated as it stands.
  std::vector<at::Tensor> leaves;
  const auto leaf = [&](const at::Tensor& tensor) {
    leaves.push_back(tensor.requires_grad() ? tensor.view_as(tensor)
                                            : tensor.detach().requires_grad_());
    return leaves.back();
  };
  const auto optional = [&](const std::optional<at::Tensor>& tensor) {
    return tensor ? std::optional<at::Tensor>(leaf(*tensor)) : std::nullopt;
  };
  const auto x = leaf(input), moved = leaf(offset), kernel = leaf(weight);
  const auto shift = optional(bias), factor = optional(mask);
  const auto out =
      deform_conv2d_reference(x, moved, kernel, shift, stride, padding, dilation, factor);
  auto found = torch::autograd::grad({out}, leaves, {grad}, true, true);
  DeformGradients all{found[0], found[1], found[2], at::Tensor(), at::Tensor()};
  std::size_t next = 3;
  if (bias) std::get<3>(all) = found[next++];
  if (mask) std::get<4>(all) = found[next];
  return all;
}

#ifndef DEEPLIGHT_OPS
// Only the header-only form differentiates here; with deeplight::ops the dispatcher does.
struct DeformConvFunction : torch::autograd::Function<DeformConvFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& offset, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias,
                            const std::optional<at::Tensor>& mask,
                            std::vector<std::int64_t> sizes) {
    context->save_for_backward(
        {input, offset, weight, bias.value_or(at::Tensor()), mask.value_or(at::Tensor())});
    context->saved_data["sizes"] = sizes;
    return deform_conv2d_cpu(kernels::deform_conv_table<kernels::simd::Native>(), input, offset,
                             weight, bias, {sizes[0], sizes[1]}, {sizes[2], sizes[3]},
                             {sizes[4], sizes[5]}, mask);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const auto optional = [](const at::Tensor& t) {
      return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
    };
    const Pair stride{sizes[0], sizes[1]}, padding{sizes[2], sizes[3]},
        dilation{sizes[4], sizes[5]};
    const auto shift = optional(saved[3]), factor = optional(saved[4]);
    auto [input, offset, weight, bias, mask] =
        at::GradMode::is_enabled()
            ? deform_conv2d_backward_reference(grads[0], saved[0], saved[1], saved[2], shift,
                                               stride, padding, dilation, factor)
            : deform_conv2d_backward_cpu(kernels::deform_conv_table<kernels::simd::Native>(),
                                         grads[0], saved[0], saved[1], saved[2], shift, stride,
                                         padding, dilation, factor);
    return {input, offset, weight, bias, mask, at::Tensor()};
  }
};
#endif

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor deform_conv2d(const at::Tensor& input, const at::Tensor& offset,
                                          const at::Tensor& weight,
                                          const std::optional<at::Tensor>& bias, Pair stride,
                                          Pair padding, Pair dilation,
                                          const std::optional<at::Tensor>& mask) {
  const std::vector<std::int64_t> sizes{stride[0],  stride[1],   padding[0],
                                        padding[1], dilation[0], dilation[1]};
#ifdef DEEPLIGHT_OPS
  using Schema = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                            const std::optional<at::Tensor>&, at::IntArrayRef, at::IntArrayRef,
                            at::IntArrayRef, const std::optional<at::Tensor>&);
  static const auto operation = [] {
    ops::link();
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow("deeplight::deform_conv2d", "")
        .typed<Schema>();
  }();
  return operation.call(input, offset, weight, bias, stride, padding, dilation, mask);
#else
  require(input.device().is_cpu(),
          "deform_conv2d: the header-only form runs on the CPU, got a tensor on ", input.device(),
          "; link deeplight::ops for other devices");
  return detail::DeformConvFunction::apply(input, offset, weight, bias, mask, sizes);
#endif
}

}  // namespace deeplight::functional
