// Deformable convolution on the CPU: padding, packing, blocks and chunks over PyTorch's threads.
#pragma once

#include <ATen/Functions.h>

#include <algorithm>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/functional/deform_conv_geometry.hpp"
#include "deeplight/functional/on_large_pages.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/kernels/deform_conv_backward_cpu.hpp"
#include "deeplight/kernels/streamed_store.hpp"

namespace deeplight::functional::detail {

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
    image =
        on_large_pages(at::empty({batch * padded_sample + kernels::deform_slack}, input.options()));
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

  std::int64_t blocks() const { return kernels::DeformBlocks(geometry).count(); }
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
  auto out = on_large_pages(at::empty({task.batch, outputs, g.out_height, g.out_width},
                                      input.options().memory_format(format)));
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
      f.streamed = static_cast<std::int64_t>(out.nbytes()) >= kernels::streamed_bytes;
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
  auto input_grad = on_large_pages(at::empty(input.sizes(), input.options().memory_format(format)));
  auto offset_grad = on_large_pages(at::empty_like(task.offset));
  auto mask_grad = mask ? on_large_pages(at::empty_like(task.mask)) : at::Tensor();
  const std::int64_t padded = rounded_up(outputs / groups), depth = weight.size(1) * g.taps();
  constexpr std::int64_t most_chunks = 16;
  auto weight_sums = at::zeros({most_chunks, groups, depth, padded}, input.options());
  auto bias_sums = at::zeros({most_chunks, groups, padded}, input.options().dtype(at::kDouble));
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
      slabs[i] = on_large_pages(at::empty({height * task.padded_row}, input.options()));
      starts[i] = slabs[i].template const_data_ptr<T>();
    }
    torch_parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        auto chunk = f;
        chunk.slab = slabs[i].template mutable_data_ptr<T>(), chunk.slab_first = rows[i].first;
        std::fill_n(chunk.slab, slabs[i].numel(), T(0));
        chunk.grad_weight = weight_sums.template mutable_data_ptr<T>() + i * weight_sums.stride(0);
        chunk.grad_bias = bias_sums.mutable_data_ptr<double>() + i * bias_sums.stride(0);
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
      has_bias
          ? bias_total.narrow(1, 0, outputs / groups).reshape({outputs}).to(input.scalar_type())
          : at::Tensor();
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

}  // namespace deeplight::functional::detail
