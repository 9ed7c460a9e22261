// Backward of projection_conv.hpp on the CPU.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "deeplight/functional/projection_conv_cpu_inl.hpp"
#include "deeplight/kernels/projection_conv_gradient_cpu.hpp"

namespace deeplight::functional::detail {

/// To input, weight, bias, slope; undefined where not asked for.
using ProjectionGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// An image as the kernels' larger or smaller one, without an activation.
template <class T>
kernels::ProjectionTailGradient<T> plain_gradient(const at::Tensor& image) {
  kernels::ProjectionTailGradient<T> plain;
  plain.batch = image.size(0), plain.channels = image.size(1);
  plain.rows = image.size(2), plain.columns = image.size(3);
  plain.grad = const_image_view<T>(image);
  return plain;
}

/// Channels-last memory of an image after its tail.
template <class T>
at::Tensor packed_pixels(const kernels::ProjectionTable<T>& table,
                         const kernels::ProjectionTailGradient<T>& image,
                         const at::TensorOptions& options) {
  const auto memory =
      on_large_pages(at::empty({image.batch, image.rows, image.columns, image.channels}, options));
  table.tail_gradient(image, memory.template mutable_data_ptr<T>(), torch_parallel());
  return memory;
}

/// The same of an image as it is: its own memory where it lies channels last.
template <class T>
at::Tensor packed_pixels(const kernels::ProjectionTable<T>& table, const at::Tensor& image) {
  if (image.is_contiguous(at::MemoryFormat::ChannelsLast)) return image;
  return packed_pixels(table, plain_gradient<T>(image), image.options());
}

/// Sizes of both images; what to compute is left open.
template <class T>
kernels::ProjectionPair<T> projection_pair(const at::Tensor& small,
                                           const kernels::ProjectionTailGradient<T>& large,
                                           Pair kernel, Pair stride, Pair padding) {
  kernels::ProjectionPair<T> pair;
  pair.small_channels = small.size(1);
  pair.small_rows = small.size(2);
  pair.small_columns = small.size(3);
  pair.large = large;
  pair.kernel_h = kernel[0], pair.kernel_w = kernel[1];
  pair.stride_h = stride[0], pair.stride_w = stride[1];
  pair.padding_h = padding[0], pair.padding_w = padding[1];
  // By the sizes alone: the number of threads must not change the order of the sums.
  const double work = static_cast<double>(small.numel()) *
                      static_cast<double>(large.channels * kernel[0] * kernel[1]);
  const std::int64_t parts = work < 1e7 ? 4 : work < 1e9 ? 8 : 16;
  pair.parts = std::clamp<std::int64_t>(small.size(0) * small.size(2), 1, parts);
  return pair;
}

/// Where the parts of a weight's gradient go.
template <class T>
at::Tensor gradient_parts(const kernels::ProjectionTable<T>& table,
                          kernels::ProjectionPair<T>& pair, const at::TensorOptions& options) {
  const auto parts = at::empty(
      {pair.parts, pair.kernel_h, pair.small_channels, table.gradient_width(pair)}, options);
  pair.gradient = parts.template mutable_data_ptr<T>();
  return parts;
}

/// The parts' sum as a weight [S, L, kh, kw].
template <class T>
at::Tensor sum_parts(const kernels::ProjectionPair<T>& pair, const at::Tensor& parts) {
  const at::Tensor total = parts[0];
  for (std::int64_t part = 1; part < pair.parts; ++part) total.add_(parts[part]);
  return total.narrow(2, 0, pair.kernel_w * pair.large.channels)
      .reshape({pair.kernel_h, pair.small_channels, pair.kernel_w, pair.large.channels})
      .permute({1, 3, 0, 2})
      .contiguous();
}

/// Gradient of a weight [S, L, kh, kw] from the smaller image and the larger one.
DEEPLIGHT_INLINE at::Tensor projection_weight_gradient_cpu(const kernels::ProjectionTables& tables,
                                                           const at::Tensor& small,
                                                           const at::Tensor& large, Pair kernel,
                                                           Pair stride, Pair padding) {
  if (is_half(small))
    return projection_weight_gradient_cpu(tables, small.to(at::kFloat), large.to(at::kFloat),
                                          kernel, stride, padding)
        .to(small.scalar_type());
  at::Tensor gradient;
  AT_DISPATCH_FLOATING_TYPES(small.scalar_type(), "projection_weight_gradient", [&] {
    const kernels::ProjectionTable<scalar_t>& table = tables.of<scalar_t>();
    auto pair = projection_pair(small, plain_gradient<scalar_t>(large), kernel, stride, padding);
    const auto pixels = packed_pixels(table, small);
    pair.small = pixels.template const_data_ptr<scalar_t>();
    const auto parts = gradient_parts(table, pair, small.options());
    table.pair_gradient(pair, torch_parallel());
    gradient = sum_parts(pair, parts);
  });
  return gradient;
}

/// What `projection_backward_cpu` is to compute.
struct ProjectionWanted {
  bool input = true, weight = true, slope = true;
  std::int64_t bias_dimensions = 0;  ///< 0: none; 1: [O]; 2: [stride_h * stride_w, O]
};

/// Row sums [B * rows, phases, channels] added in order: [row phases * phases, channels].
template <class T>
at::Tensor sum_rows(const at::Tensor& rows, std::int64_t image_rows, std::int64_t row_phases) {
  const std::int64_t size = rows.size(1) * rows.size(2);
  const at::Tensor total = at::zeros({row_phases * rows.size(1), rows.size(2)}, at::kDouble);
  const T* from = rows.const_data_ptr<T>();
  auto* to = total.mutable_data_ptr<double>();
  for (std::int64_t row = 0; row < rows.size(0); ++row, from += size) {
    double* own = to + row % image_rows % row_phases * size;
    for (std::int64_t i = 0; i < size; ++i) own[i] += static_cast<double>(from[i]);
  }
  return total.to(rows.scalar_type());
}

template <class T>
ProjectionGradients projection_backward_cpu_as(const kernels::ProjectionTables& tables,
                                               const at::Tensor& grad, const at::Tensor& input,
                                               const at::Tensor& weight, const at::Tensor& sums,
                                               const at::Tensor& slope,
                                               const ProjectionSizes& sizes,
                                               const ProjectionWanted& wanted) {
  const auto& table = tables.of<T>();
  const Pair kernel{weight.size(2), weight.size(3)};
  auto task = plain_gradient<T>(grad);
  const auto factors = slope.defined() ? slope.contiguous() : slope;
  at::Tensor bias_rows, slope_rows;
  const std::int64_t rows = grad.size(0) * grad.size(2), channels = grad.size(1);
  if (factors.defined()) {
    task.sums = const_image_view<T>(sums);
    task.slope = factors.template const_data_ptr<T>();
    if (wanted.slope) {
      slope_rows = at::empty({rows, 1, channels}, grad.options());
      task.by_slope = slope_rows.template mutable_data_ptr<T>();
    }
  }
  const bool by_phase = wanted.bias_dimensions == 2;
  if (wanted.bias_dimensions > 0) {
    task.phases = by_phase ? sizes.stride[1] : 1;
    bias_rows = at::empty({rows, task.phases, channels}, grad.options());
    task.bias = bias_rows.template mutable_data_ptr<T>();
  }

  at::Tensor by_input, by_weight, by_bias, by_slope;
  if (sizes.transposed) {
    auto pair = projection_pair(input, task, kernel, sizes.stride, sizes.padding);
    at::Tensor pixels, parts, packed;
    if (wanted.weight) {
      pixels = packed_pixels(table, input);
      pair.small = pixels.template const_data_ptr<T>();
      parts = gradient_parts(table, pair, grad.options());
    }
    if (wanted.input) {
      const auto kernels = weight.contiguous();
      packed =
          packed_weights(table, projection_geometry(grad, weight, {sizes.stride, sizes.padding}),
                         kernels.template const_data_ptr<T>(), grad.options());
      pair.weights = packed.template const_data_ptr<T>();
      by_input = on_large_pages(
          at::empty(input.sizes(), input.options().memory_format(input.suggest_memory_format())));
      pair.out = image_view<T>(by_input);
    }
    table.pair_gradient(pair, torch_parallel());
    if (wanted.weight) by_weight = sum_parts(pair, parts);
  } else {
    const auto pixels = packed_pixels(table, task, grad.options());
    if (wanted.weight) {
      auto pair =
          projection_pair(grad, plain_gradient<T>(input), kernel, sizes.stride, sizes.padding);
      pair.small = pixels.template const_data_ptr<T>();
      const auto parts = gradient_parts(table, pair, grad.options());
      table.pair_gradient(pair, torch_parallel());
      by_weight = sum_parts(pair, parts);
    }
    if (wanted.input) {
      const ProjectionSizes turned{
          sizes.stride, sizes.padding, true, {input.size(2), input.size(3)}};
      by_input = std::get<0>(projection_conv2d_cpu(tables, pixels.permute({0, 3, 1, 2}), weight, {},
                                                   turned, {}, {}, 1.0, false,
                                                   input.suggest_memory_format()));
    }
  }
  if (bias_rows.defined()) {
    by_bias = sum_rows<T>(bias_rows, grad.size(2), by_phase ? sizes.stride[0] : 1);
    if (!by_phase) by_bias = by_bias.view({channels});
  }
  if (slope_rows.defined()) by_slope = sum_rows<T>(slope_rows, grad.size(2), 1).view({channels});
  return {by_input, by_weight, by_bias, by_slope};
}

/// @param sums, slope  both undefined without an activation
DEEPLIGHT_INLINE ProjectionGradients projection_backward_cpu(
    const kernels::ProjectionTables& tables, const at::Tensor& grad, const at::Tensor& input,
    const at::Tensor& weight, const at::Tensor& sums, const at::Tensor& slope,
    const ProjectionSizes& sizes, const ProjectionWanted& wanted) {
  if (is_half(input)) {
    const auto wide = [](const at::Tensor& t) { return t.defined() ? t.to(at::kFloat) : t; };
    auto all = projection_backward_cpu(tables, wide(grad), wide(input), wide(weight), wide(sums),
                                       wide(slope), sizes, wanted);
    std::apply(
        [&](auto&... each) {
          ((each = each.defined() ? each.to(input.scalar_type()) : each), ...);
        },
        all);
    return all;
  }
  ProjectionGradients all;
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "projection_conv2d_backward", [&] {
    all = projection_backward_cpu_as<scalar_t>(tables, grad, input, weight, sums, slope, sizes,
                                               wanted);
  });
  return all;
}

}  // namespace deeplight::functional::detail
