// torch.ops.deeplight.projection_conv2d on CUDA. PyTorch's convolutions are cuDNN's, at the limit
// of dense products: they stay, and what follows them is one pass of ours. A 1x1 convolution with
// PixelShuffle is a product of ours that stores to the shuffled place.
#pragma once

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include "cuda_tensors.hpp"
#include "deeplight/functional/half_precision.hpp"
#include "deeplight/functional/projection_conv_inl.hpp"
#include "projection_conv_launch.hpp"

namespace deeplight::cuda {
namespace {

using functional::detail::ProjectionGradients;
using functional::detail::ProjectionSizes;
using OptionalTensor = std::optional<at::Tensor>;
using TwoTensors = std::tuple<at::Tensor, at::Tensor>;

at::Tensor as_operand(const OptionalTensor& tensor, at::ScalarType type,
                      at::MemoryFormat layout = at::MemoryFormat::Contiguous) {
  return tensor ? tensor->to(type).contiguous(layout) : at::Tensor();
}

TailSizes tail_sizes(const at::Tensor& image) {
  const bool last = image.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
  const std::int64_t pixels = image.size(2) * image.size(3);
  return {type_of(image), last ? image.size(0) * pixels : image.size(0), image.size(1),
          last ? 1 : pixels, stream()};
}

/// A kernel as large as its stride, without padding.
bool is_shuffle(const at::Tensor& input, const at::Tensor& weight, const ProjectionSizes& sizes) {
  for (int side = 0; side < 2; ++side)
    if (weight.size(2 + side) != sizes.stride[side] || sizes.padding[side] != 0 ||
        (!sizes.output_size.empty() &&
         sizes.output_size[side] != input.size(2 + side) * sizes.stride[side]))
      return false;
  return sizes.transposed && (!functional::detail::is_half(input) || has_tensor_cores());
}

TwoTensors shuffled(const at::Tensor& input, const at::Tensor& weight, const OptionalTensor& bias,
                    const ProjectionSizes& sizes, const OptionalTensor& slope,
                    const OptionalTensor& residual, double alpha, bool keep_sums) {
  const auto type = input.scalar_type();
  const auto layout = input.suggest_memory_format();
  const kernels::PixelShuffle s{
      input.size(0), input.size(1),   weight.size(1),  input.size(2),
      input.size(3), sizes.stride[0], sizes.stride[1], layout == at::MemoryFormat::ChannelsLast,
      alpha};
  const auto image = input.contiguous(layout);
  const auto kernel =
      weight.to(type)
          .permute(s.channels_last ? at::IntArrayRef{0, 2, 3, 1} : at::IntArrayRef{1, 2, 3, 0})
          .contiguous();
  auto shift = as_operand(bias, type);  // [O] or [rh * rw, O]
  if (shift.defined() && shift.dim() == 1) shift = shift.repeat({s.rh * s.rw, 1});
  const auto factor = as_operand(slope, type), rest = as_operand(residual, type, layout);
  const auto out = at::empty({s.batch, s.outputs, s.rh * s.height, s.rw * s.width},
                             input.options().memory_format(layout));
  const auto kept = keep_sums ? at::empty_like(out) : at::Tensor();
  const bool tensor_cores =
      has_tensor_cores() && (type != at::kFloat || at::globalContext().allowTF32CuBLAS());
  if (out.numel() > 0)
    C10_CUDA_CHECK(launch_pixel_shuffle(
        type_of(input), tensor_cores, s, read(image), read(kernel),
        {read(shift), read(factor), read(rest), write(kept), write(out)}, stream()));
  return {out, kept};
}

TwoTensors projection(const at::Tensor& input, const at::Tensor& weight, const OptionalTensor& bias,
                      const ProjectionSizes& sizes, const OptionalTensor& slope,
                      const OptionalTensor& residual, double alpha, bool keep_sums) {
  const c10::cuda::CUDAGuard guard(input.device());
  functional::detail::check_projection(input, weight, bias, sizes, slope, residual);
  if (is_shuffle(input, weight, sizes))
    return shuffled(input, weight, bias, sizes, slope, residual, alpha, keep_sums);
  const bool plain = !bias || bias->dim() == 1;
  if (!plain || (!slope && !residual))
    return functional::detail::projection_conv2d_composed(input, weight, bias, sizes, slope,
                                                          residual, alpha, keep_sums);
  const auto product = std::get<0>(
      functional::detail::projection_conv2d_composed(input, weight, {}, sizes, {}, {}, 1, false));
  // cuDNN's layout may be that of the weights.
  const auto layout = input.suggest_memory_format();
  const auto type = product.scalar_type();
  const auto sums = product.contiguous(layout);
  const auto shift = as_operand(bias, type), factor = as_operand(slope, type),
             rest = as_operand(residual, type, layout);
  const auto out = keep_sums ? at::empty_like(sums) : sums;
  if (out.numel() > 0)
    C10_CUDA_CHECK(launch_projection_tail(
        tail_sizes(sums), alpha, read(sums),
        {read(shift), read(factor), read(rest), keep_sums ? write(sums) : nullptr, write(out)}));
  return {out, keep_sums ? sums : at::Tensor()};
}

ProjectionSizes projection_sizes(at::IntArrayRef stride, at::IntArrayRef padding, bool transposed,
                                 at::IntArrayRef output_size) {
  return {{stride[0], stride[1]}, {padding[0], padding[1]}, transposed, output_size.vec()};
}

at::Tensor projection_forward(const at::Tensor& input, const at::Tensor& weight,
                              const OptionalTensor& bias, at::IntArrayRef stride,
                              at::IntArrayRef padding, bool transposed, at::IntArrayRef output_size,
                              const OptionalTensor& slope, const OptionalTensor& residual,
                              double alpha) {
  return std::get<0>(projection(input, weight, bias,
                                projection_sizes(stride, padding, transposed, output_size), slope,
                                residual, alpha, false));
}

TwoTensors projection_kept(const at::Tensor& input, const at::Tensor& weight,
                           const OptionalTensor& bias, at::IntArrayRef stride,
                           at::IntArrayRef padding, bool transposed, at::IntArrayRef output_size,
                           const OptionalTensor& slope, const OptionalTensor& residual,
                           double alpha) {
  return projection(input, weight, bias, projection_sizes(stride, padding, transposed, output_size),
                    slope, residual, alpha, true);
}

/// Gradients of the product, bias [O] and slope [O], in one pass.
std::tuple<at::Tensor, at::Tensor, at::Tensor> tail_gradient(const at::Tensor& above,
                                                             const at::Tensor& sums,
                                                             const at::Tensor& slope) {
  const auto sizes = tail_sizes(above);
  const std::int64_t chunks = sizes.inner > 1 ? sizes.channels : (sizes.channels + 31) / 32;
  const std::int64_t most = sizes.outer * sizes.inner / (sizes.inner > 1 ? 256 : 8) + 1;
  const std::int64_t parts =
      std::clamp<std::int64_t>(1024 / std::max<std::int64_t>(chunks, 1), 1, most);
  const auto below = at::empty_like(above);
  const auto partial =
      at::empty({2, parts, sizes.channels}, above.options().dtype(sum_type(above)));
  const auto found = at::empty({2, sizes.channels}, above.options());
  C10_CUDA_CHECK(launch_projection_tail_gradient(sizes, parts, read(above), read(sums), read(slope),
                                                 write(below), write(partial), write(found)));
  return {below, found.select(0, 0), found.select(0, 1)};
}

ProjectionGradients projection_backward(const at::Tensor& grad, const at::Tensor& input,
                                        const at::Tensor& weight, const OptionalTensor& sums,
                                        const OptionalTensor& slope, at::IntArrayRef stride,
                                        at::IntArrayRef padding, bool transposed,
                                        std::int64_t bias_dimensions, bool by_input, bool by_weight,
                                        bool by_slope) {
  const c10::cuda::CUDAGuard guard(input.device());
  require(!slope || sums, "projection_conv2d_backward: a slope needs the sums that it met");
  const auto absent = at::empty({0}, grad.options());
  const auto type = input.scalar_type();
  auto below = grad.to(type).contiguous(input.suggest_memory_format());
  at::Tensor to_bias = absent, to_slope = absent;
  if (slope && below.numel() > 0) {
    const auto kept = as_operand(sums, type, input.suggest_memory_format());
    const auto [product, bias, factor] = tail_gradient(below, kept, as_operand(slope, type));
    below = product, to_bias = bias;
    if (by_slope) to_slope = factor.clone();
  } else {
    to_bias = below.sum({0, 2, 3});
    if (by_slope) to_slope = at::zeros_like(to_bias);
  }
  if (bias_dimensions == 0) to_bias = absent;
  if (bias_dimensions == 2)
    to_bias = below
                  .reshape({below.size(0), below.size(1), below.size(2) / stride[0], stride[0],
                            below.size(3) / stride[1], stride[1]})
                  .sum({0, 2, 4})
                  .permute({1, 2, 0})
                  .flatten(0, 1);
  at::Tensor to_input = absent, to_weight = absent;
  if (by_input || by_weight) {
    std::vector<std::int64_t> extra{0, 0};
    for (int side = 0; transposed && side < 2; ++side)
      extra[side] = below.size(2 + side) - ((input.size(2 + side) - 1) * stride[side] -
                                            2 * padding[side] + weight.size(2 + side));
    auto [image, kernel, none] = at::convolution_backward(
        below, input, weight.to(type), std::nullopt, stride, padding, {1, 1}, transposed, extra, 1,
        std::array<bool, 3>{by_input, by_weight, false});
    if (by_input) to_input = image;
    if (by_weight) to_weight = kernel.to(weight.scalar_type());
  }
  return {to_input, to_weight, to_bias, to_slope};
}

}  // namespace
}  // namespace deeplight::cuda

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("projection_conv2d", &deeplight::cuda::projection_forward);
  library.impl("projection_conv2d_kept", &deeplight::cuda::projection_kept);
  library.impl("projection_conv2d_backward", &deeplight::cuda::projection_backward);
}
