// torch.ops.deeplight.deform_conv2d on CUDA: sample into columns, multiply, per sample.
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include <algorithm>

#include "deeplight/functional/deform_conv_geometry.hpp"
#include "deeplight/kernels/deform_conv.cuh"

namespace deeplight::functional {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
constexpr int threads = 256;

unsigned blocks_for(const kernels::DeformGeometry& g) {
  const std::int64_t work = g.offset_groups * g.taps() * g.positions();
  return static_cast<unsigned>(std::min<std::int64_t>((work + threads - 1) / threads, 65535));
}

template <class Visit>
void for_each_sample(const at::Tensor& input, const Visit& visit) {
  for (std::int64_t b = 0; b < input.size(0); ++b) visit(b);
}

at::Tensor forward_cuda(const at::Tensor& input, const at::Tensor& offset, const at::Tensor& weight,
                        const OptionalTensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                        at::IntArrayRef dilation, const OptionalTensor& mask) {
  const auto g =
      detail::deform_geometry(input, offset, weight, bias, {stride[0], stride[1]},
                              {padding[0], padding[1]}, {dilation[0], dilation[1]}, mask);
  const c10::cuda::CUDAGuard guard(input.device());
  const auto stream = at::cuda::getCurrentCUDAStream();
  const std::int64_t groups = g.channels / weight.size(1), depth = weight.size(1) * g.taps();
  const auto image = input.contiguous(), moved = offset.contiguous();
  const auto factor = mask ? mask->contiguous() : at::Tensor();
  const auto kernel = weight.reshape({groups, weight.size(0) / groups, depth});
  auto out = at::empty({input.size(0), weight.size(0), g.out_height, g.out_width}, input.options());
  auto columns = at::empty({groups, depth, g.positions()}, input.options());
  for_each_sample(input, [&](std::int64_t b) {
    AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "deform_conv2d", [&] {
      kernels::deform_columns_kernel<scalar_t><<<blocks_for(g), threads, 0, stream>>>(
          g, image[b].const_data_ptr<scalar_t>(), moved[b].const_data_ptr<scalar_t>(),
          factor.defined() ? factor[b].const_data_ptr<scalar_t>() : nullptr,
          columns.mutable_data_ptr<scalar_t>());
      C10_CUDA_KERNEL_LAUNCH_CHECK();
    });
    out[b].copy_(at::matmul(kernel, columns).reshape(out[b].sizes()));
  });
  if (bias) out.add_(bias->view({1, -1, 1, 1}));
  return out;
}

detail::DeformGradients backward_cuda(const at::Tensor& grad, const at::Tensor& input,
                                      const at::Tensor& offset, const at::Tensor& weight,
                                      const OptionalTensor& bias, at::IntArrayRef stride,
                                      at::IntArrayRef padding, at::IntArrayRef dilation,
                                      const OptionalTensor& mask) {
  const auto g =
      detail::deform_geometry(input, offset, weight, bias, {stride[0], stride[1]},
                              {padding[0], padding[1]}, {dilation[0], dilation[1]}, mask);
  const c10::cuda::CUDAGuard guard(input.device());
  const auto stream = at::cuda::getCurrentCUDAStream();
  const std::int64_t groups = g.channels / weight.size(1), depth = weight.size(1) * g.taps();
  const std::int64_t per_group = weight.size(0) / groups;
  const auto image = input.contiguous(), moved = offset.contiguous();
  const auto factor = mask ? mask->contiguous() : at::Tensor();
  const auto kernel = weight.reshape({groups, per_group, depth});
  auto input_grad = at::zeros_like(image), offset_grad = at::empty_like(moved);
  auto mask_grad = mask ? at::empty_like(factor) : at::empty({0}, grad.options());
  auto weight_grad = at::zeros_like(kernel);
  auto columns = at::empty({groups, depth, g.positions()}, input.options());
  for_each_sample(input, [&](std::int64_t b) {
    const auto out_grad = grad[b].reshape({groups, per_group, g.positions()});
    const auto columns_grad = at::matmul(kernel.transpose(1, 2), out_grad).contiguous();
    AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "deform_conv2d_backward", [&] {
      const scalar_t* scale = factor.defined() ? factor[b].const_data_ptr<scalar_t>() : nullptr;
      kernels::deform_columns_kernel<scalar_t><<<blocks_for(g), threads, 0, stream>>>(
          g, image[b].const_data_ptr<scalar_t>(), moved[b].const_data_ptr<scalar_t>(), scale,
          columns.mutable_data_ptr<scalar_t>());
      C10_CUDA_KERNEL_LAUNCH_CHECK();
      kernels::deform_columns_backward_kernel<scalar_t><<<blocks_for(g), threads, 0, stream>>>(
          g, image[b].const_data_ptr<scalar_t>(), moved[b].const_data_ptr<scalar_t>(), scale,
          columns_grad.const_data_ptr<scalar_t>(), input_grad[b].mutable_data_ptr<scalar_t>(),
          offset_grad[b].mutable_data_ptr<scalar_t>(),
          mask ? mask_grad[b].mutable_data_ptr<scalar_t>() : nullptr);
      C10_CUDA_KERNEL_LAUNCH_CHECK();
    });
    weight_grad.add_(at::matmul(out_grad, columns.transpose(1, 2)));
  });
  return {input_grad, offset_grad, weight_grad.reshape(weight.sizes()),
          bias ? grad.sum({0, 2, 3}) : at::empty({0}, grad.options()), mask_grad};
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("deform_conv2d", &deeplight::functional::forward_cuda);
  library.impl("deform_conv2d_backward", &deeplight::functional::backward_cuda);
}
