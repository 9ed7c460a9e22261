// Definitions of deform_conv.hpp.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "deeplight/functional/deform_conv.hpp"
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

DEEPLIGHT_INLINE at::Tensor deform_conv2d_cpu(const at::Tensor& input, const at::Tensor& offset,
                                              const at::Tensor& weight,
                                              const std::optional<at::Tensor>& bias, Pair stride,
                                              Pair padding, Pair dilation,
                                              const std::optional<at::Tensor>& mask) {
  const auto g = deform_geometry(input, offset, weight, bias, stride, padding, dilation, mask);
  const std::int64_t batch = input.size(0), groups = g.channels / weight.size(1);
  const auto image = input.contiguous(), moved = offset.contiguous();
  const auto factor = mask ? mask->contiguous() : at::Tensor();
  const auto kernel = weight.reshape({groups, weight.size(0) / groups, weight.size(1) * g.taps()});
  auto out = at::empty({batch, weight.size(0), g.out_height, g.out_width}, input.options());
  auto columns =
      at::empty({batch, groups, weight.size(1) * g.taps(), g.positions()}, input.options());
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "deform_conv2d", [&] {
    const std::int64_t sample = g.channels * g.taps() * g.positions();
    at::parallel_for(0, batch, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) {
        kernels::deform_columns<scalar_t>(
            g, image.const_data_ptr<scalar_t>() + b * image.stride(0),
            moved.const_data_ptr<scalar_t>() + b * moved.stride(0),
            factor.defined() ? factor.const_data_ptr<scalar_t>() + b * factor.stride(0) : nullptr,
            columns.mutable_data_ptr<scalar_t>() + b * sample);
      }
    });
  });
  if (batch > 0) out.copy_(at::matmul(kernel, columns).reshape(out.sizes()));
  if (bias) out.add_(bias->view({1, -1, 1, 1}));
  return out;
}

DEEPLIGHT_INLINE DeformGradients deform_conv2d_backward_cpu(
    const at::Tensor& grad, const at::Tensor& input, const at::Tensor& offset,
    const at::Tensor& weight, const std::optional<at::Tensor>& bias, Pair stride, Pair padding,
    Pair dilation, const std::optional<at::Tensor>& mask) {
  const auto g = deform_geometry(input, offset, weight, bias, stride, padding, dilation, mask);
  const std::int64_t batch = input.size(0), groups = g.channels / weight.size(1);
  const std::int64_t per_group = weight.size(0) / groups, depth = weight.size(1) * g.taps();
  const auto image = input.contiguous(), moved = offset.contiguous();
  const auto factor = mask ? mask->contiguous() : at::Tensor();
  const auto kernel = weight.reshape({groups, per_group, depth});
  const auto out_grad = grad.reshape({batch, groups, per_group, g.positions()});
  const auto columns_grad = at::matmul(kernel.transpose(1, 2), out_grad).contiguous();
  auto input_grad = at::zeros_like(image), offset_grad = at::empty_like(moved);
  auto mask_grad = mask ? at::empty_like(factor) : at::Tensor();
  auto columns = at::empty({batch, groups, depth, g.positions()}, input.options());
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "deform_conv2d_backward", [&] {
    const std::int64_t sample = g.channels * g.taps() * g.positions();
    at::parallel_for(0, batch, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) {
        const auto* source = image.const_data_ptr<scalar_t>() + b * image.stride(0);
        const auto* where = moved.const_data_ptr<scalar_t>() + b * moved.stride(0);
        const auto* scale =
            factor.defined() ? factor.const_data_ptr<scalar_t>() + b * factor.stride(0) : nullptr;
        kernels::deform_columns<scalar_t>(g, source, where, scale,
                                          columns.mutable_data_ptr<scalar_t>() + b * sample);
        kernels::deform_columns_backward<scalar_t>(
            g, source, where, scale, columns_grad.const_data_ptr<scalar_t>() + b * sample,
            input_grad.mutable_data_ptr<scalar_t>() + b * image.stride(0),
            offset_grad.mutable_data_ptr<scalar_t>() + b * moved.stride(0),
            mask_grad.defined() ? mask_grad.mutable_data_ptr<scalar_t>() + b * factor.stride(0)
                                : nullptr);
      }
    });
  });
  auto weight_grad = at::matmul(out_grad, columns.transpose(2, 3)).sum(0).reshape(weight.sizes());
  auto bias_grad = bias ? grad.sum({0, 2, 3}) : at::Tensor();
  return {input_grad, offset_grad, weight_grad, bias_grad, mask_grad};
}

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
    return deform_conv2d_cpu(input, offset, weight, bias, {sizes[0], sizes[1]},
                             {sizes[2], sizes[3]}, {sizes[4], sizes[5]}, mask);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const auto optional = [](const at::Tensor& t) {
      return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
    };
    auto [input, offset, weight, bias, mask] = deform_conv2d_backward_cpu(
        grads[0], saved[0], saved[1], saved[2], optional(saved[3]), {sizes[0], sizes[1]},
        {sizes[2], sizes[3]}, {sizes[4], sizes[5]}, optional(saved[4]));
    return {input, offset, weight, bias, mask, at::Tensor()};
  }
};

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
