// torch.ops.deeplight.dynamic_conv2d on CUDA: our kernels between few channels, PyTorch's
// convolution for the rest.
#pragma once

#include "deeplight/functional/dynamic_conv_composed_inl.hpp"
#include "plane_convolution_cuda.hpp"

namespace deeplight::cuda {
namespace {

PlaneConvolution dynamic_planes(const at::Tensor& input, const at::Tensor& kernel,
                                functional::Pair padding) {
  auto g = planes(input, kernel, input.size(0), padding, {1, 1});
  g.inputs = static_cast<int>(kernel.size(2)), g.outputs = static_cast<int>(kernel.size(1));
  return g;
}

/// Above this a matrix product per sample is worth its unfolding.
bool is_ours_dynamic(const at::Tensor& input, const at::Tensor& kernel, const PlaneConvolution& g) {
  return kernel.size(1) * kernel.size(2) <= 64 && kernel.scalar_type() == input.scalar_type() &&
         fits(input, g);
}

at::Tensor dynamic_forward(const at::Tensor& input, const at::Tensor& kernel,
                           at::IntArrayRef padding) {
  functional::detail::check_dynamic(input, kernel, pair(padding));
  const auto g = dynamic_planes(input, kernel, pair(padding));
  if (!is_ours_dynamic(input, kernel, g))
    return functional::detail::dynamic_conv2d_composed(input, kernel, pair(padding));
  const c10::cuda::CUDAGuard guard(input.device());
  const auto image = input.contiguous(), own = kernel.contiguous();
  const auto out =
      at::empty({input.size(0), kernel.size(1), g.out_height, g.out_width}, image.options());
  convolve_planes(g, 2, image, own, {}, out);
  return out;
}

functional::detail::DynamicGradients dynamic_backward(const at::Tensor& grad,
                                                      const at::Tensor& input,
                                                      const at::Tensor& kernel,
                                                      at::IntArrayRef padding) {
  const auto g = dynamic_planes(input, kernel, pair(padding));
  if (!is_ours_dynamic(input, kernel, g))
    return functional::detail::dynamic_conv2d_backward_composed(grad, input, kernel, pair(padding));
  const c10::cuda::CUDAGuard guard(input.device());
  const auto image = input.contiguous(), above = grad.contiguous(), own = kernel.contiguous();
  const auto image_grad = at::empty(image.sizes(), image.options());
  const auto kernel_grad = at::empty(own.sizes(), own.options());
  convolve_planes(turned(g), 2, above, own, {}, image_grad);
  correlate_planes(correlation(g), image, above, kernel_grad);
  return {image_grad, kernel_grad};
}

}  // namespace
}  // namespace deeplight::cuda

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("dynamic_conv2d", &deeplight::cuda::dynamic_forward);
  library.impl("dynamic_conv2d_backward", &deeplight::cuda::dynamic_backward);
}
