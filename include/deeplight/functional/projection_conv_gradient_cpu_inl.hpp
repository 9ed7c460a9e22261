// Backward of projection_conv.hpp on the CPU: one pass through the activation, which leaves the
// gradient of the sums where both products read it.
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

/// An image channels last, with a border of zeros and what products read beyond its end.
struct PaddedImage {
  at::Tensor memory;  // [B * rows * columns * channels + slack]
  std::int64_t rows = 0, columns = 0, top = 0, left = 0;
};

/// Where `image` goes in a buffer that starts `padding` pixels before it and has at least
/// `rows` x `columns` pixels.
template <class T>
PaddedImage make_padded(const at::Tensor& image, Pair padding, std::int64_t rows,
                        std::int64_t columns, kernels::ProjectionTailGradient<T>& task) {
  PaddedImage padded{{},
                     std::max(rows, padding[0] + image.size(2)),
                     std::max(columns, padding[1] + image.size(3)),
                     padding[0],
                     padding[1]};
  const std::int64_t size = image.size(0) * padded.rows * padded.columns * image.size(1);
  padded.memory = on_large_pages(at::empty({size + kernels::gradient_slack}, image.options()));
  task.batch = image.size(0), task.channels = image.size(1);
  task.rows = image.size(2), task.columns = image.size(3);
  task.grad = const_image_view<T>(image);
  task.out = padded.memory.mutable_data_ptr<T>();
  task.out_rows = padded.rows, task.out_columns = padded.columns;
  task.top = padded.top, task.left = padded.left;
  return padded;
}

/// One copy of an image for the products.
template <class T>
PaddedImage padded_copy(const kernels::ProjectionTable<T>& table, const at::Tensor& image,
                        Pair padding, std::int64_t rows, std::int64_t columns) {
  kernels::ProjectionTailGradient<T> task;
  auto padded = make_padded(image, padding, rows, columns, task);
  table.tail_gradient(task, torch_parallel());
  return padded;
}

/// Sizes of the product that sums the gradient of a weight; without the images.
template <class T>
kernels::ProjectionPair<T> projection_pair(const at::Tensor& small, std::int64_t large_channels,
                                           Pair kernel, Pair stride) {
  kernels::ProjectionPair<T> pair;
  pair.batch = small.size(0);
  pair.small_channels = small.size(1);
  pair.small_rows = small.size(2);
  pair.small_columns = small.size(3);
  pair.large_channels = large_channels;
  pair.large_rows = (pair.small_rows - 1) * stride[0] + kernel[0];
  pair.large_columns = (pair.small_columns - 1) * stride[1] + kernel[1];
  pair.kernel_h = kernel[0];
  pair.kernel_w = kernel[1];
  pair.stride_h = stride[0];
  pair.stride_w = stride[1];
  // By the sizes alone: the number of threads must not change the order of the sums.
  constexpr std::int64_t items = 32;
  pair.parts = std::clamp<std::int64_t>((items + kernel[0] - 1) / kernel[0], 1,
                                        std::max<std::int64_t>(pair.batch * pair.small_rows, 1));
  return pair;
}

/// The gradient [S, L, kh, kw] of a weight, summed over both images of the pair.
template <class T>
at::Tensor sum_weight_gradient(const kernels::ProjectionTable<T>& table,
                               const kernels::ProjectionPair<T>& pair,
                               const at::TensorOptions& options) {
  const std::int64_t width = table.gradient_width(pair);
  const at::Tensor parts =
      at::empty({pair.parts, pair.kernel_h, pair.small_channels, width}, options);
  table.weight_gradient(pair, parts.mutable_data_ptr<T>(), torch_parallel());
  const at::Tensor total = parts[0];
  for (std::int64_t part = 1; part < pair.parts; ++part) total.add_(parts[part]);
  return total.narrow(2, 0, pair.kernel_w * pair.large_channels)
      .reshape({pair.kernel_h, pair.small_channels, pair.kernel_w, pair.large_channels})
      .permute({1, 3, 0, 2})
      .contiguous();
}

/// Channels-last memory of an image without a border: the image's own, or a copy.
template <class T>
at::Tensor packed_pixels(const kernels::ProjectionTable<T>& table, const at::Tensor& image) {
  if (image.is_contiguous(at::MemoryFormat::ChannelsLast)) return image;
  return padded_copy<T>(table, image, {0, 0}, 0, 0).memory;
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
    auto pair = projection_pair<scalar_t>(small, large.size(1), kernel, stride);
    const auto narrow = packed_pixels(table, small);
    const auto padded = padded_copy(table, large, padding, pair.large_rows, pair.large_columns);
    pair.large_rows = padded.rows, pair.large_columns = padded.columns;
    pair.small = narrow.template const_data_ptr<scalar_t>();
    pair.large = padded.memory.template const_data_ptr<scalar_t>();
    gradient = sum_weight_gradient(table, pair, small.options());
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
  const bool transposed = sizes.transposed;
  const auto& small = transposed ? input : grad;
  auto pair = projection_pair<T>(small, (transposed ? grad : input).size(1), kernel, sizes.stride);
  const Pair border = transposed ? sizes.padding : Pair{0, 0};

  kernels::ProjectionTailGradient<T> task;
  const auto padded = transposed
                          ? make_padded(grad, border, pair.large_rows, pair.large_columns, task)
                          : make_padded(grad, border, 0, 0, task);
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
  table.tail_gradient(task, torch_parallel());
  const T* by_sums = padded.memory.template const_data_ptr<T>();

  at::Tensor by_input, by_weight, by_bias, by_slope;
  if (wanted.weight) {
    if (transposed) {
      const auto own = packed_pixels(table, input);
      pair.small = own.template const_data_ptr<T>(), pair.large = by_sums;
      pair.large_rows = padded.rows, pair.large_columns = padded.columns;
      by_weight = sum_weight_gradient(table, pair, grad.options());
    } else {
      const auto own =
          padded_copy(table, input, sizes.padding, pair.large_rows, pair.large_columns);
      pair.small = by_sums, pair.large = own.memory.template const_data_ptr<T>();
      pair.large_rows = own.rows, pair.large_columns = own.columns;
      by_weight = sum_weight_gradient(table, pair, grad.options());
    }
  }
  if (wanted.input) {
    // The padded gradient is an image of its own, whose border need not be made again.
    const auto image =
        padded.memory.narrow(0, 0, grad.size(0) * padded.rows * padded.columns * channels)
            .view({grad.size(0), padded.rows, padded.columns, channels})
            .permute({0, 3, 1, 2});
    const ProjectionSizes turned{sizes.stride,
                                 transposed ? Pair{0, 0} : sizes.padding,
                                 !transposed,
                                 {input.size(2), input.size(3)}};
    by_input = std::get<0>(projection_conv2d_cpu(tables, image, weight, {}, turned, {}, {}, 1.0,
                                                 false, input.suggest_memory_format()));
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
