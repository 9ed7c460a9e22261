// torch.ops.deeplight.deform_conv2d on CUDA. Forward: one kernel that samples and multiplies; in
// float64, and backward, strips of positions are sampled into columns and multiplied, so that the
// columns never exist as a whole.
#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

#include <algorithm>

#include "cuda_launch.hpp"
#include "deeplight/functional/deform_conv_geometry.hpp"
#include "deeplight/functional/half_precision.hpp"
#include "deeplight/kernels/deform_conv.cuh"
#include "deeplight/kernels/deform_conv_fused.cuh"

template <>
struct deeplight::kernels::TensorOperand<c10::Half> {
  using Type = __half;
  using Memory = __half;
};
template <>
struct deeplight::kernels::TensorOperand<c10::BFloat16> {
  using Type = __nv_bfloat16;
  using Memory = __nv_bfloat16;
};

namespace deeplight::functional {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
bool has_tensor_cores() {
  return at::cuda::getCurrentDeviceProperties()->major >= 8;
}

/// Calls visit(sample, first position, count) for strips that keep the columns below a hundredth of
/// the whole, but wide enough for the matrix product.
template <class Visit>
void for_each_strip(std::int64_t batch, std::int64_t positions, const Visit& visit) {
  const std::int64_t strip = std::max<std::int64_t>(1024, batch * positions / 128);
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t begin = 0; begin < positions; begin += strip)
      visit(b, begin, std::min(strip, positions - begin));
}

std::optional<at::Tensor> as_type(const OptionalTensor& tensor, at::ScalarType type) {
  return tensor ? OptionalTensor(tensor->to(type)) : std::nullopt;
}

template <class T, bool tensor_cores>
void launch_fused(const kernels::DeformGeometry& g, const kernels::DeformFusion& f,
                  const at::Tensor& image, const at::Tensor& offset, const at::Tensor& mask,
                  const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& out) {
  constexpr std::size_t shared = sizeof(kernels::DeformFusedMemory<T>);
  static_assert(shared <= cuda_shared_memory);
  const auto data = [](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
  };
  kernels::deform_fused_kernel<T, tensor_cores>
      <<<cuda_blocks(f.blocks(g.positions()), 1), kernels::fused_threads, shared,
         at::cuda::getCurrentCUDAStream()>>>(g, f, data(image), data(offset), data(mask),
                                             data(weight), data(bias), out.mutable_data_ptr<T>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

/// float32 is rounded to TF32 only where matrix products are allowed to be.
at::Tensor forward_fused(const kernels::DeformGeometry& g, const at::Tensor& input,
                         const at::Tensor& offset, const at::Tensor& weight,
                         const OptionalTensor& bias, const OptionalTensor& mask) {
  const std::int64_t groups = g.channels / weight.size(1), outputs = weight.size(0) / groups;
  const kernels::DeformFusion f{input.size(0), groups, outputs, weight.size(1)};
  const auto image = input.contiguous(), moved = offset.contiguous();
  const auto factor = mask ? mask->contiguous() : at::Tensor();
  const auto shift = bias ? bias->contiguous() : at::Tensor();
  const auto packed = weight.reshape({groups, outputs, weight.size(1), g.taps()})
                          .permute({0, 3, 1, 2})
                          .contiguous();
  auto out = at::empty({f.batch, weight.size(0), g.out_height, g.out_width}, image.options());
  if (out.numel() == 0) return out;
  const auto type = input.scalar_type();
  if (type == at::kHalf) {
    launch_fused<at::Half, true>(g, f, image, moved, factor, packed, shift, out);
  } else if (type == at::kBFloat16) {
    launch_fused<at::BFloat16, true>(g, f, image, moved, factor, packed, shift, out);
  } else if (has_tensor_cores() && at::globalContext().allowTF32CuBLAS()) {
    launch_fused<float, true>(g, f, image, moved, factor, packed, shift, out);
  } else {
    launch_fused<float, false>(g, f, image, moved, factor, packed, shift, out);
  }
  return out.contiguous(input.suggest_memory_format());
}

at::Tensor forward_cuda(const at::Tensor& input, const at::Tensor& offset, const at::Tensor& weight,
                        const OptionalTensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                        at::IntArrayRef dilation, const OptionalTensor& mask) {
  const auto g =
      detail::deform_geometry(input, offset, weight, bias, {stride[0], stride[1]},
                              {padding[0], padding[1]}, {dilation[0], dilation[1]}, mask);
  const c10::cuda::CUDAGuard guard(input.device());
  const auto type = input.scalar_type();
  if (detail::is_half(input) && !has_tensor_cores())
    return forward_cuda(input.to(at::kFloat), offset.to(at::kFloat), weight.to(at::kFloat),
                        as_type(bias, at::kFloat), stride, padding, dilation,
                        as_type(mask, at::kFloat))
        .to(type);
  if (type != at::kDouble)
    return forward_fused(g, input, offset.to(type), weight.to(type), as_type(bias, type),
                         as_type(mask, type));
  const auto stream = at::cuda::getCurrentCUDAStream();
  const std::int64_t groups = g.channels / weight.size(1), depth = weight.size(1) * g.taps();
  const auto image = input.contiguous(), moved = offset.contiguous();
  const auto factor = mask ? mask->contiguous() : at::Tensor();
  const auto kernel = weight.reshape({groups, weight.size(0) / groups, depth});
  auto out = at::empty({input.size(0), weight.size(0), g.out_height, g.out_width}, input.options());
  for_each_strip(
      input.size(0), g.positions(), [&](std::int64_t b, std::int64_t begin, std::int64_t count) {
        auto columns = at::empty({groups, depth, count}, input.options());
        kernels::deform_columns_kernel<double>
            <<<cuda_blocks(g.offset_groups * g.taps() * count), cuda_threads, 0, stream>>>(
                g, begin, count, image[b].const_data_ptr<double>(),
                moved[b].const_data_ptr<double>(),
                factor.defined() ? factor[b].const_data_ptr<double>() : nullptr,
                columns.mutable_data_ptr<double>());
        C10_CUDA_KERNEL_LAUNCH_CHECK();
        out[b]
            .view({groups, -1, g.positions()})
            .narrow(2, begin, count)
            .copy_(at::matmul(kernel, columns));
      });
  if (bias) out.add_(bias->view({1, -1, 1, 1}));
  return out.contiguous(input.suggest_memory_format());
}

/// Adds one strip to the gradient of one image [C, H*W], tap after tap; `index_add_` sums in a
/// fixed order where deterministic algorithms are asked for.
template <class T>
void scatter_in_order(const kernels::DeformGeometry& g, std::int64_t begin, std::int64_t count,
                      const T* offset, const T* mask, const at::Tensor& columns_grad,
                      at::Tensor image_grad, cudaStream_t stream) {
  const std::int64_t per_group = g.channels_per_group();
  auto pixels = at::empty({4, count}, columns_grad.options().dtype(at::kLong));
  auto weights = at::empty({4, count}, columns_grad.options());
  const auto grads = columns_grad.view({g.offset_groups, per_group, g.taps(), count});
  for (std::int64_t slot = 0; slot < g.offset_groups * g.taps(); ++slot) {
    kernels::deform_corners_kernel<T><<<cuda_blocks(count), cuda_threads, 0, stream>>>(
        g, slot, begin, count, offset, mask, pixels.mutable_data_ptr<std::int64_t>(),
        weights.mutable_data_ptr<T>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    const std::int64_t group = slot / g.taps();
    const auto grad = grads[group].select(1, slot % g.taps());  // [C/G, count]
    image_grad.narrow(0, group * per_group, per_group)
        .index_add_(1, pixels.flatten(), (grad.unsqueeze(1) * weights).flatten(1));
  }
}

detail::DeformGradients backward_cuda(const at::Tensor& grad, const at::Tensor& input,
                                      const at::Tensor& offset, const at::Tensor& weight,
                                      const OptionalTensor& bias, at::IntArrayRef stride,
                                      at::IntArrayRef padding, at::IntArrayRef dilation,
                                      const OptionalTensor& mask) {
  const auto g =
      detail::deform_geometry(input, offset, weight, bias, {stride[0], stride[1]},
                              {padding[0], padding[1]}, {dilation[0], dilation[1]}, mask);
  if (detail::is_half(input)) {
    const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kFloat); };
    auto [image, moves, kernel, shift, factor] = backward_cuda(
        wide(grad), wide(input), wide(offset), wide(weight), as_type(bias, at::kFloat), stride,
        padding, dilation, as_type(mask, at::kFloat));
    const auto type = input.scalar_type();
    return {image.to(type), moves.to(offset.scalar_type()), kernel.to(weight.scalar_type()),
            shift.to(type), factor.to(type)};
  }
  const c10::cuda::CUDAGuard guard(input.device());
  const auto stream = at::cuda::getCurrentCUDAStream();
  const bool in_order = at::globalContext().deterministicAlgorithms();
  const std::int64_t groups = g.channels / weight.size(1), depth = weight.size(1) * g.taps();
  const std::int64_t per_group = weight.size(0) / groups;
  const auto image = input.contiguous(), moved = offset.contiguous();
  const auto factor = mask ? mask->contiguous() : at::Tensor();
  const auto kernel = weight.reshape({groups, per_group, depth});
  auto input_grad = at::zeros_like(image), offset_grad = at::empty_like(moved);
  auto mask_grad = mask ? at::empty_like(factor) : at::empty({0}, grad.options());
  auto weight_grad = at::zeros({groups, per_group, depth}, weight.options());
  for_each_strip(
      input.size(0), g.positions(), [&](std::int64_t b, std::int64_t begin, std::int64_t count) {
        const auto out_grad =
            grad[b].reshape({groups, per_group, g.positions()}).narrow(2, begin, count);
        const auto columns_grad = at::matmul(kernel.transpose(1, 2), out_grad).contiguous();
        auto columns = at::empty({groups, depth, count}, input.options());
        AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "deform_conv2d_backward", [&] {
          const auto* source = image[b].const_data_ptr<scalar_t>();
          const auto* where = moved[b].const_data_ptr<scalar_t>();
          const scalar_t* scale = factor.defined() ? factor[b].const_data_ptr<scalar_t>() : nullptr;
          const auto blocks = cuda_blocks(g.offset_groups * g.taps() * count);
          kernels::deform_columns_kernel<scalar_t><<<blocks, cuda_threads, 0, stream>>>(
              g, begin, count, source, where, scale, columns.mutable_data_ptr<scalar_t>());
          C10_CUDA_KERNEL_LAUNCH_CHECK();
          kernels::deform_columns_backward_kernel<scalar_t><<<blocks, cuda_threads, 0, stream>>>(
              g, begin, count, source, where, scale, columns_grad.const_data_ptr<scalar_t>(),
              in_order ? nullptr : input_grad[b].mutable_data_ptr<scalar_t>(),
              offset_grad[b].mutable_data_ptr<scalar_t>(),
              mask ? mask_grad[b].mutable_data_ptr<scalar_t>() : nullptr);
          C10_CUDA_KERNEL_LAUNCH_CHECK();
          if (in_order)
            scatter_in_order<scalar_t>(g, begin, count, where, scale, columns_grad,
                                       input_grad[b].view({g.channels, -1}), stream);
        });
        weight_grad.add_(at::matmul(out_grad, columns.transpose(1, 2)));
      });
  return {input_grad.contiguous(input.suggest_memory_format()), offset_grad,
          weight_grad.reshape(weight.sizes()),
          bias ? grad.sum({0, 2, 3}) : at::empty({0}, grad.options()), mask_grad};
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("deform_conv2d", &deeplight::functional::forward_cuda);
  library.impl("deform_conv2d_backward", &deeplight::functional::backward_cuda);
}
