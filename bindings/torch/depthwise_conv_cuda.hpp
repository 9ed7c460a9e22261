// torch.ops.deeplight.depthwise_conv2d on CUDA: our kernels for planes and kernels that are dilated
// or larger than 5 x 5, PyTorch's convolution for the rest.
#pragma once

#include "deeplight/functional/depthwise_conv_composed_inl.hpp"
#include "plane_convolution_cuda.hpp"

namespace deeplight::cuda {
namespace {

/// PyTorch's own are as good for small kernels, and know channels-last images.
bool is_ours(const at::Tensor& input, const at::Tensor& weight, const PlaneConvolution& g) {
  const bool small = g.kernel_h <= 5 && g.kernel_w <= 5 && g.dilation_h == 1 && g.dilation_w == 1;
  return !small && weight.scalar_type() == input.scalar_type() && fits(input, g) &&
         input.suggest_memory_format() == at::MemoryFormat::Contiguous;
}

at::Tensor depthwise_forward(const at::Tensor& input, const at::Tensor& weight,
                             const OptionalTensor& bias, at::IntArrayRef padding,
                             at::IntArrayRef dilation) {
  functional::detail::check_depthwise(input, weight, bias, pair(padding), pair(dilation));
  const auto g =
      planes(input, weight, input.size(0) * input.size(1), pair(padding), pair(dilation));
  if (!is_ours(input, weight, g))
    return functional::detail::depthwise_conv2d_composed(input, weight, bias, pair(padding),
                                                         pair(dilation));
  const c10::cuda::CUDAGuard guard(input.device());
  const auto image = input.contiguous(), taps = weight.contiguous();
  const auto offset = bias ? bias->to(input.scalar_type()).contiguous() : at::Tensor();
  const auto out =
      at::empty({input.size(0), input.size(1), g.out_height, g.out_width}, input.options());
  convolve_planes(g, 1, image, taps, offset, out);
  return out;
}

functional::detail::DepthwiseGradients depthwise_backward(const at::Tensor& grad,
                                                          const at::Tensor& input,
                                                          const at::Tensor& weight,
                                                          at::IntArrayRef padding,
                                                          at::IntArrayRef dilation) {
  const auto g =
      planes(input, weight, input.size(0) * input.size(1), pair(padding), pair(dilation));
  if (!is_ours(input, weight, g))
    return functional::detail::depthwise_conv2d_backward_composed(grad, input, weight,
                                                                  pair(padding), pair(dilation));
  const c10::cuda::CUDAGuard guard(input.device());
  const auto image = input.contiguous(), above = grad.contiguous(), taps = weight.contiguous();
  const auto image_grad = at::empty(image.sizes(), image.options());
  const auto weight_grad = at::empty(taps.sizes(), taps.options());
  convolve_planes(turned(g), 1, above, taps, {}, image_grad);
  correlate_planes(correlation(g), image, above, weight_grad);
  return {image_grad, weight_grad, above.sum({0, 2, 3})};
}

}  // namespace
}  // namespace deeplight::cuda

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("depthwise_conv2d", &deeplight::cuda::depthwise_forward);
  library.impl("depthwise_conv2d_backward", &deeplight::cuda::depthwise_backward);
}
