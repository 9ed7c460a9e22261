// Definitions of deform_conv.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "deeplight/functional/deform_conv.hpp"
#include "deeplight/functional/deform_conv_geometry.hpp"
#include "deeplight/functional/ops_library.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/kernels/deform_conv_backward_cpu.hpp"

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

template <class T>
struct DeformTask {
  kernels::DeformGeometry geometry;
  std::int64_t batch, groups, outputs;
  at::Tensor image, offset, mask;  // image: padded NHWC of the whole batch
  std::int64_t padded_row, padded_sample;

  DeformTask(const kernels::DeformKernels<T>& kernel, const kernels::DeformGeometry& g,
             const at::Tensor& input, const at::Tensor& moved,
             const std::optional<at::Tensor>& factor, std::int64_t convolution_groups,
             std::int64_t convolution_outputs)
      : geometry(g),
        batch(input.size(0)),
        groups(convolution_groups),
        outputs(convolution_outputs),
        offset(moved.contiguous()),
        padded_row((g.width + 2) * g.channels),
        padded_sample((g.height + 2) * padded_row) {
    if (factor) mask = factor->contiguous();
    const bool strided = input.stride(1) != 1 && input.stride(3) != 1;
    const at::Tensor source = strided ? input.contiguous() : input;
    image = at::empty({batch * padded_sample + kernels::deform_slack}, input.options());
    T* to = image.template mutable_data_ptr<T>();
    for (std::int64_t i = 0; i < kernels::deform_slack; ++i) to[batch * padded_sample + i] = T(0);
    const T* from = source.template const_data_ptr<T>();
    const std::int64_t rows = g.height + 2;
    torch_parallel_for(0, batch * rows, 16, [&](std::int64_t begin, std::int64_t end) {
      while (begin < end) {
        const std::int64_t b = begin / rows, stop = std::min(end, (b + 1) * rows);
        kernels::DeformPadding<T> task;
        task.channels = g.channels, task.height = g.height, task.width = g.width;
        task.image = from + b * source.stride(0);
        task.channel = source.stride(1), task.row = source.stride(2);
        task.column = source.stride(3);
        // A side of one pixel may carry any stride: only the layout decides.
        if (source.stride(3) != 1) task.channel = 1;
        task.padded = to + b * padded_sample, task.padded_row = padded_row;
        kernel.pad(task, begin - b * rows, stop - b * rows);
        begin = stop;
      }
    });
  }

  void describe(kernels::DeformSample<T>& sample, std::int64_t b) const {
    sample.geometry = geometry, sample.groups = groups, sample.outputs = outputs;
    sample.image = image.template const_data_ptr<T>() + b * padded_sample;
    sample.image_row = padded_row;
    sample.offset = offset.template const_data_ptr<T>() + b * offset.stride(0);
    sample.mask = mask.defined() ? mask.template const_data_ptr<T>() + b * mask.stride(0) : nullptr;
  }

  std::int64_t blocks() const {
    return (geometry.positions() + kernels::deform_block - 1) / kernels::deform_block;
  }
};

inline std::int64_t rounded_up(std::int64_t value) {
  return (value + kernels::deform_slack - 1) / kernels::deform_slack * kernels::deform_slack;
}

/// [outputs, C/groups, kh, kw] -> [groups, K, C/groups, outputs per group, rounded up].
inline at::Tensor packed_weight(const at::Tensor& weight, std::int64_t groups) {
  const std::int64_t outputs = weight.size(0) / groups;
  const auto packed = weight.reshape({groups, outputs, weight.size(1), -1}).permute({0, 3, 2, 1});
  return at::constant_pad_nd(packed, {0, rounded_up(outputs) - outputs}).contiguous();
}

/// [outputs, C/groups, kh, kw] -> [groups, outputs per group, K * C/groups and slack].
inline at::Tensor transposed_weight(const at::Tensor& weight, std::int64_t groups) {
  const auto packed = weight.reshape({groups, weight.size(0) / groups, weight.size(1), -1})
                          .transpose(2, 3)
                          .flatten(2);
  const std::int64_t depth = packed.size(2);
  return at::constant_pad_nd(packed, {0, rounded_up(depth + kernels::deform_slack) - depth})
      .contiguous();
}

template <class T>
at::Tensor deform_conv2d_cpu_as(const kernels::DeformConvTable& table, const at::Tensor& input,
                                const at::Tensor& offset, const at::Tensor& weight,
                                const std::optional<at::Tensor>& bias,
                                const kernels::DeformGeometry& g,
                                const std::optional<at::Tensor>& mask) {
  const auto& kernel = table.of<T>();
  const std::int64_t groups = g.channels / weight.size(1), outputs = weight.size(0);
  const DeformTask<T> task(kernel, g, input, offset, mask, groups, outputs);
  const auto packed = packed_weight(weight, groups);
  const auto shift = bias ? bias->contiguous() : at::Tensor();
  const auto format = input.suggest_memory_format();
  auto out = at::empty({task.batch, outputs, g.out_height, g.out_width},
                       input.options().memory_format(format));
  T* to = out.template mutable_data_ptr<T>();
  const bool last = format == at::MemoryFormat::ChannelsLast;
  const std::int64_t blocks = task.blocks();
  torch_parallel_for(0, task.batch * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t b = begin / blocks, stop = std::min(end, (b + 1) * blocks);
      kernels::DeformForward<T> f;
      task.describe(f, b);
      f.weight = packed.template const_data_ptr<T>();
      f.bias = shift.defined() ? shift.template const_data_ptr<T>() : nullptr;
      f.out = to + b * outputs * g.positions();
      f.out_channel = last ? 1 : g.positions(), f.out_position = last ? outputs : 1;
      kernel.forward(f, begin - b * blocks, stop - b * blocks);
      begin = stop;
    }
  });
  return out;
}

/// Half precision is computed in float32 and rounded once.
inline at::ScalarType computed_in(const at::Tensor& input) {
  return input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

inline void require_floating(const at::Tensor& input, const at::Tensor& offset,
                             const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                             const std::optional<at::Tensor>& mask) {
  const auto type = input.scalar_type();
  require(at::isFloatingType(type), "deform_conv2d: input must be floating, got ", type);
  const auto same = [&](const at::Tensor& tensor, const char* name) {
    require(tensor.scalar_type() == type, "deform_conv2d: ", name, " is ", tensor.scalar_type(),
            ", expected the input's ", type);
  };
  same(offset, "offset"), same(weight, "weight");
  if (bias) same(*bias, "bias");
  if (mask) same(*mask, "mask");
}

DEEPLIGHT_INLINE at::Tensor deform_conv2d_cpu(const kernels::DeformConvTable& table,
                                              const at::Tensor& input, const at::Tensor& offset,
                                              const at::Tensor& weight,
                                              const std::optional<at::Tensor>& bias, Pair stride,
                                              Pair padding, Pair dilation,
                                              const std::optional<at::Tensor>& mask) {
  const auto g = deform_geometry(input, offset, weight, bias, stride, padding, dilation, mask);
  require_floating(input, offset, weight, bias, mask);
  const auto type = computed_in(input);
  const auto cast = [&](const std::optional<at::Tensor>& tensor) {
    return tensor ? std::optional<at::Tensor>(tensor->to(type)) : std::nullopt;
  };
  const auto run = [&](auto zero) {
    return deform_conv2d_cpu_as<decltype(zero)>(table, input.to(type), offset.to(type),
                                                weight.to(type), cast(bias), g, cast(mask));
  };
  return (type == at::kDouble ? run(0.0) : run(0.0F)).to(input.scalar_type());
}

/// Chunks of blocks that scatter into slabs of their own: as many as keep the slabs together below
/// four times the image.
template <class T>
std::vector<kernels::DeformRows> deform_chunks(const kernels::DeformKernels<T>& kernel,
                                               const kernels::DeformSample<T>& sample,
                                               std::int64_t blocks) {
  std::int64_t count = std::clamp<std::int64_t>(sample.geometry.out_height / 8, 1, 16);
  count = std::min(count, blocks);
  for (;; count /= 2) {
    std::vector<kernels::DeformRows> rows(count);
    torch_parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        rows[i] = kernel.rows(sample, blocks * i / count, blocks * (i + 1) / count);
    });
    std::int64_t total = 0;
    for (const auto& range : rows) total += std::max<std::int64_t>(0, range.last - range.first + 1);
    if (count == 1 || total <= 4 * (sample.geometry.height + 2)) return rows;
  }
}

template <class T>
DeformGradients deform_conv2d_backward_cpu_as(const kernels::DeformConvTable& table,
                                              const at::Tensor& grad, const at::Tensor& input,
                                              const at::Tensor& offset, const at::Tensor& weight,
                                              bool has_bias, const kernels::DeformGeometry& g,
                                              const std::optional<at::Tensor>& mask) {
  const auto& kernel = table.of<T>();
  const std::int64_t groups = g.channels / weight.size(1), outputs = weight.size(0);
  const DeformTask<T> task(kernel, g, input, offset, mask, groups, outputs);
  const auto packed = transposed_weight(weight, groups);
  const bool grad_strided =
      !grad.is_contiguous() && !grad.is_contiguous(at::MemoryFormat::ChannelsLast);
  const auto out_grad = grad_strided ? grad.contiguous() : grad;
  const bool grad_last = !out_grad.is_contiguous();
  const auto format = input.suggest_memory_format();
  const bool last = format == at::MemoryFormat::ChannelsLast;
  auto input_grad = at::empty(input.sizes(), input.options().memory_format(format));
  auto offset_grad = at::empty_like(task.offset);
  auto mask_grad = mask ? at::empty_like(task.mask) : at::Tensor();
  const std::int64_t padded = rounded_up(outputs / groups), depth = weight.size(1) * g.taps();
  constexpr std::int64_t most_chunks = 16;
  auto weight_sums = at::zeros({most_chunks, groups, depth, padded}, input.options());
  auto bias_sums = at::zeros({most_chunks, groups, padded}, input.options());
  const std::int64_t blocks = task.blocks();
  T* to = input_grad.template mutable_data_ptr<T>();

  for (std::int64_t b = 0; b < task.batch; ++b) {
    kernels::DeformBackward<T> f;
    task.describe(f, b);
    f.weight = packed.template const_data_ptr<T>(), f.weight_row = packed.size(2);
    f.grad = out_grad.template const_data_ptr<T>() + b * outputs * g.positions();
    f.grad_channel = grad_last ? 1 : g.positions(), f.grad_position = grad_last ? outputs : 1;
    f.grad_offset = offset_grad.template mutable_data_ptr<T>() + b * offset_grad.stride(0);
    f.grad_mask =
        mask ? mask_grad.template mutable_data_ptr<T>() + b * mask_grad.stride(0) : nullptr;
    const auto rows = deform_chunks<T>(kernel, f, blocks);
    const auto count = static_cast<std::int64_t>(rows.size());
    std::vector<at::Tensor> slabs(count);
    std::vector<const T*> starts(count);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t height = std::max<std::int64_t>(0, rows[i].last - rows[i].first + 1);
      slabs[i] = at::empty({height * task.padded_row}, input.options());
      starts[i] = slabs[i].template const_data_ptr<T>();
    }
    torch_parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        auto chunk = f;
        chunk.slab = slabs[i].template mutable_data_ptr<T>(), chunk.slab_first = rows[i].first;
        std::fill_n(chunk.slab, slabs[i].numel(), T(0));
        chunk.grad_weight = weight_sums.template mutable_data_ptr<T>() + i * weight_sums.stride(0);
        chunk.grad_bias = bias_sums.template mutable_data_ptr<T>() + i * bias_sums.stride(0);
        kernel.backward(chunk, blocks * i / count, blocks * (i + 1) / count);
      }
    });
    kernels::DeformGather<T> gather;
    gather.slabs = count, gather.slab = starts.data(), gather.rows = rows.data();
    gather.padded_row = task.padded_row;
    gather.channels = g.channels, gather.width = g.width;
    gather.grad = to + b * g.channels * g.height * g.width;
    gather.channel = last ? 1 : g.height * g.width;
    gather.row = last ? g.width * g.channels : g.width, gather.column = last ? g.channels : 1;
    torch_parallel_for(0, g.height, 8, [&](std::int64_t begin, std::int64_t end) {
      kernel.gather(gather, begin, end);
    });
  }
  // In the order of the chunks, one addition after the other.
  auto weight_total = weight_sums[0], bias_total = bias_sums[0];
  for (std::int64_t i = 1; i < most_chunks; ++i) {
    weight_total.add_(weight_sums[i]);
    bias_total.add_(bias_sums[i]);
  }
  auto weight_grad = weight_total.narrow(2, 0, outputs / groups)
                         .reshape({groups, g.taps(), weight.size(1), outputs / groups})
                         .permute({0, 3, 2, 1})
                         .reshape(weight.sizes());
  auto bias_grad =
      has_bias ? bias_total.narrow(1, 0, outputs / groups).reshape({outputs}) : at::Tensor();
  return {input_grad, offset_grad, weight_grad, bias_grad, mask_grad};
}

DEEPLIGHT_INLINE DeformGradients deform_conv2d_backward_cpu(
    const kernels::DeformConvTable& table, const at::Tensor& grad, const at::Tensor& input,
    const at::Tensor& offset, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    Pair stride, Pair padding, Pair dilation, const std::optional<at::Tensor>& mask) {
  const auto g = deform_geometry(input, offset, weight, bias, stride, padding, dilation, mask);
  require_floating(input, offset, weight, bias, mask);
  const auto type = computed_in(input);
  const auto factor = mask ? std::optional<at::Tensor>(mask->to(type)) : std::nullopt;
  const auto run = [&](auto zero) {
    return deform_conv2d_backward_cpu_as<decltype(zero)>(table, grad.to(type), input.to(type),
                                                         offset.to(type), weight.to(type),
                                                         bias.has_value(), g, factor);
  };
  auto all = type == at::kDouble ? run(0.0) : run(0.0F);
  const auto back = [&](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.to(input.scalar_type());
  };
  std::apply([&](auto&... each) { (back(each), ...); }, all);
  return all;
}

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
