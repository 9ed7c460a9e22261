// torch.ops.deeplight.deform_conv2d on CUDA: the memory around deform_conv_kernel.cu.
#pragma once

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "cuda_tensors.hpp"
#include "deeplight/functional/deform_conv_geometry.hpp"
#include "deeplight/functional/half_precision.hpp"
#include "deform_conv_launch.hpp"

namespace deeplight::cuda {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

/// A call and the tensors that its pointers point to.
struct DeformCall {
  at::Tensor image, offset, mask, weight, bias, grad;
  DeformArguments arguments;

  DeformCall(const at::Tensor& input, const at::Tensor& offsets, const at::Tensor& weights,
             const OptionalTensor& shift, at::IntArrayRef stride, at::IntArrayRef padding,
             at::IntArrayRef dilation, const OptionalTensor& factor, const at::Tensor& above) {
    const auto g = functional::detail::deform_geometry(
        input, offsets, weights, shift, {stride[0], stride[1]}, {padding[0], padding[1]},
        {dilation[0], dilation[1]}, factor);
    const auto type = input.scalar_type();
    const std::int64_t groups = g.channels / weights.size(1), outputs = weights.size(0) / groups;
    image = input.contiguous(), offset = offsets.to(type).contiguous();
    if (factor) mask = factor->to(type).contiguous();
    if (shift) bias = shift->to(type).contiguous();
    if (above.defined()) grad = above.to(type).contiguous();
    // The innermost index is the one that products add up over.
    const auto split = weights.to(type).reshape({groups, outputs, weights.size(1), g.taps()});
    weight =
        (grad.defined() ? split.permute({0, 3, 2, 1}) : split.permute({0, 3, 1, 2})).contiguous();
    // float32 is rounded to TF32 only where matrix products are allowed to be.
    const bool rounds = type != at::kFloat || at::globalContext().allowTF32CuBLAS();
    arguments = {type_of(input),
                 rounds && has_tensor_cores(),
                 g,
                 {input.size(0), groups, outputs, weights.size(1)},
                 read(image),
                 read(offset),
                 read(mask),
                 read(weight),
                 read(bias),
                 read(grad),
                 stream()};
  }

  /// Bytes of all columns, which are never stored.
  std::int64_t column_bytes() const {
    const auto& g = arguments.g;
    return arguments.f.batch * g.channels * g.taps() * g.positions() * image.element_size();
  }

  /// What may be taken beside the results: a hundredth of the columns, or little.
  std::int64_t scratch_bytes() const {
    return std::max<std::int64_t>(1 << 20, column_bytes() / 1000 * 9);
  }
};

/// Half types multiply on tensor cores alone: without, in float32.
bool needs_float(const at::Tensor& input) {
  return functional::detail::is_half(input) && !has_tensor_cores();
}

at::Tensor deform_forward(const at::Tensor& input, const at::Tensor& offset,
                          const at::Tensor& weight, const OptionalTensor& bias,
                          at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                          const OptionalTensor& mask) {
  const c10::cuda::CUDAGuard guard(input.device());
  if (needs_float(input))
    return deform_forward(input.to(at::kFloat), offset, weight, bias, stride, padding, dilation,
                          mask)
        .to(input.scalar_type());
  const DeformCall call(input, offset, weight, bias, stride, padding, dilation, mask, {});
  const auto& g = call.arguments.g;
  const auto out =
      at::empty({input.size(0), weight.size(0), g.out_height, g.out_width}, input.options());
  if (out.numel() > 0) C10_CUDA_CHECK(launch_deform_forward(call.arguments, write(out)));
  return out.contiguous(input.suggest_memory_format());
}

/// Calls visit(range) for ranges that scatter to at most `most` elements each, all together to all.
template <class Visit>
void for_each_range(const DeformArguments& call, std::int64_t most, const Visit& visit) {
  const auto& g = call.g;
  const std::int64_t plane = g.height * g.width;
  const std::int64_t planes = std::max<std::int64_t>(1, most / std::max<std::int64_t>(plane, 1));
  const std::int64_t shares = (g.channels + planes - 1) / planes;
  const std::int64_t channels = (g.channels + shares - 1) / shares;
  const std::int64_t samples = shares > 1 ? 1 : planes / g.channels;
  for (std::int64_t b = 0; b < call.f.batch; b += samples)
    for (std::int64_t c = 0; c < g.channels; c += channels) {
      kernels::DeformRange range{b, std::min(samples, call.f.batch - b), c,
                                 std::min(c + channels, g.channels), 1};
      // Few tiles: the taps are shared, so that a device has enough to do.
      range.shares = std::clamp<std::int64_t>(
          1024 / std::max<std::int64_t>(range.blocks(g, call.f), 1), 1, g.taps());
      visit(range);
    }
}

void input_gradients(const DeformCall& call, const at::Tensor& by_image,
                     const at::Tensor& by_offset, const at::Tensor& by_mask) {
  const auto& arguments = call.arguments;
  DeformGradientArguments to{nullptr, write(by_image), write(by_image), write(by_offset),
                             write(by_mask)};
  at::Tensor exponents, scattered;
  const bool in_order = at::globalContext().deterministicAlgorithms();
  const auto options = by_image.options();
  std::int64_t most = by_image.numel();
  if (in_order) {
    exponents = at::full({3}, std::numeric_limits<int>::min(), options.dtype(at::kInt));
    if (!arguments.mask) exponents.select(0, 2).zero_();
    to.exponents = static_cast<const int*>(exponents.const_data_ptr());
    C10_CUDA_CHECK(
        launch_deform_exponents(arguments, static_cast<int*>(exponents.mutable_data_ptr())));
  }
  const auto type = in_order ? at::kLong : at::kFloat;
  const bool direct = !in_order && !functional::detail::is_half(by_image);
  if (!direct) most = call.scratch_bytes() / (in_order ? 8 : 4);
  for_each_range(arguments, most, [&](const kernels::DeformRange& range) {
    if (!direct) {
      scattered =
          at::zeros({range.samples, range.channels(), arguments.g.height, arguments.g.width},
                    options.dtype(type));
      to.scattered = write(scattered);
    }
    C10_CUDA_CHECK(launch_deform_backward(arguments, range, to));
    if (!direct && !in_order)
      by_image.narrow(0, range.first_sample, range.samples)
          .narrow(1, range.first_channel, range.channels())
          .copy_(scattered);
    scattered.reset();
  });
}

at::Tensor weight_gradient(const DeformCall& call, at::IntArrayRef sizes) {
  const auto& g = call.arguments.g;
  const auto& f = call.arguments.f;
  const auto found = at::empty({f.groups, g.taps(), f.outputs, f.depth}, call.weight.options());
  const std::int64_t tiles = f.batch * f.tiles(g);
  const std::int64_t bytes = found.numel() * (call.image.element_size() == 8 ? 8 : 4);
  // From the sizes alone: a sum of parts depends on how many there are.
  const std::int64_t wanted = 1024 / f.weight_blocks(g) + 1;
  const std::int64_t parts =
      std::clamp<std::int64_t>(std::min(wanted, call.scratch_bytes() / bytes), 1, tiles);
  const auto partial =
      at::empty({parts, found.numel()}, found.options().dtype(sum_type(call.image)));
  C10_CUDA_CHECK(launch_deform_weight(call.arguments, parts, write(partial), write(found)));
  return found.permute({0, 2, 3, 1}).reshape(sizes);
}

functional::detail::DeformGradients deform_backward(
    const at::Tensor& grad, const at::Tensor& input, const at::Tensor& offset,
    const at::Tensor& weight, const OptionalTensor& bias, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, const OptionalTensor& mask) {
  const c10::cuda::CUDAGuard guard(input.device());
  const auto type = input.scalar_type();
  if (needs_float(input)) {
    auto [image, moves, kernel, shift, factor] = deform_backward(
        grad, input.to(at::kFloat), offset, weight, bias, stride, padding, dilation, mask);
    return {image.to(type), moves, kernel, shift.to(type), factor};
  }
  const DeformCall call(input, offset, weight, bias, stride, padding, dilation, mask, grad);
  const auto absent = at::empty({0}, grad.options());
  const auto by_bias = bias ? call.grad.sum({0, 2, 3}) : absent;
  const auto by_image = at::zeros_like(call.image), by_offset = at::empty_like(call.offset);
  const auto by_mask = mask ? at::empty_like(call.mask) : at::Tensor();
  at::Tensor by_weight;
  if (call.grad.numel() == 0) {
    by_offset.zero_();
    if (mask) by_mask.zero_();
    by_weight = at::zeros_like(weight);
  } else {
    input_gradients(call, by_image, by_offset, by_mask);
    by_weight = weight_gradient(call, weight.sizes());
  }
  return {by_image.contiguous(input.suggest_memory_format()), by_offset.to(offset.scalar_type()),
          by_weight.to(weight.scalar_type()), by_bias,
          mask ? by_mask.to(mask->scalar_type()) : absent};
}

}  // namespace
}  // namespace deeplight::cuda

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("deform_conv2d", &deeplight::cuda::deform_forward);
  library.impl("deform_conv2d_backward", &deeplight::cuda::deform_backward);
}
