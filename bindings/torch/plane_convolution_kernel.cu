// torch.ops.deeplight.depthwise_conv2d and dynamic_conv2d on CUDA.
//
// Our kernels where they are made for it: planes, kernels that are dilated or larger than 5 x 5, a
// kernel per sample between few channels. PyTorch's convolution for the rest.
#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

#include "cuda_launch.hpp"
#include "deeplight/functional/depthwise_conv_composed_inl.hpp"
#include "deeplight/functional/dynamic_conv_composed_inl.hpp"
#include "deeplight/kernels/plane_convolution.cuh"
#include "deeplight/kernels/plane_correlation.cuh"

namespace deeplight::functional {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
using kernels::PlaneConvolution;
using kernels::PlaneCorrelation;
using kernels::Wide;

#define DEEPLIGHT_DISPATCH(tensor, name, ...)                                             \
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, (tensor).scalar_type(), name, \
                                  __VA_ARGS__)

Pair pair(at::IntArrayRef values) {
  return {values[0], values[1]};
}

std::int64_t sum_size(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? 8 : 4;
}

/// Sizes of the forward pass. Kernels [kernels, outputs, inputs, kh, kw].
PlaneConvolution planes(const at::Tensor& input, const at::Tensor& weight, std::int64_t items,
                        Pair padding, Pair dilation) {
  PlaneConvolution g;
  const std::int64_t last = weight.dim() - 1;
  g.items = items, g.kernels = weight.size(0);
  g.height = input.size(2), g.width = input.size(3);
  g.kernel_h = int(weight.size(last - 1)), g.kernel_w = int(weight.size(last));
  g.dilation_h = int(dilation[0]), g.dilation_w = int(dilation[1]);
  g.pad_h = padding[0], g.pad_w = padding[1];
  g.out_height = g.height + 2 * g.pad_h - dilation[0] * (g.kernel_h - 1);
  g.out_width = g.width + 2 * g.pad_w - dilation[1] * (g.kernel_w - 1);
  return g;
}

/// The convolution of the gradient that is the gradient for the image.
PlaneConvolution turned(PlaneConvolution g) {
  std::swap(g.inputs, g.outputs);
  std::swap(g.height, g.out_height);
  std::swap(g.width, g.out_width);
  g.pad_h = std::int64_t(g.dilation_h) * (g.kernel_h - 1) - g.pad_h;
  g.pad_w = std::int64_t(g.dilation_w) * (g.kernel_w - 1) - g.pad_w;
  g.turned = true;
  return g;
}

PlaneCorrelation correlation(const PlaneConvolution& g) {
  PlaneCorrelation c;
  c.groups = g.kernels, c.batch = g.kernels == 0 ? 0 : g.items / g.kernels;
  c.inputs = g.inputs, c.outputs = g.outputs;
  c.height = g.height, c.width = g.width, c.out_height = g.out_height, c.out_width = g.out_width;
  c.kernel_h = g.kernel_h, c.kernel_w = g.kernel_w;
  c.dilation_h = g.dilation_h, c.dilation_w = g.dilation_w;
  c.pad_h = g.pad_h, c.pad_w = g.pad_w;
  // Enough blocks for any device, few enough that their sums are little beside the images.
  c.parts = std::clamp<std::int64_t>(2048 / std::max<std::int64_t>(c.pairs(), 1), 1,
                                     std::max<std::int64_t>(c.tiles(), 1));
  return c;
}

/// Whether blocks of our kernels, in both directions, fit every device.
bool fits(const at::Tensor& input, const PlaneConvolution& g) {
  if (g.kernel_h > 64 || g.kernel_w > 64 || g.dilation_h > 8 || g.dilation_w > 64) return false;
  const std::int64_t both = std::max(g.block_size(2), correlation(g).block_size());
  return g.tile_height() < 512 && both * sum_size(input) <= cuda_shared_memory &&
         g.strips() * kernels::plane_columns <= 512 && correlation(g).threads() <= 512;
}

template <class T, int together>
void launch_convolution(const PlaneConvolution& g, const at::Tensor& image,
                        const at::Tensor& weight, const T* bias, const at::Tensor& out) {
  if (out.numel() == 0) return;
  const dim3 block(kernels::plane_columns, unsigned(g.strips()));
  kernels::plane_convolution_kernel<T, together>
      <<<cuda_blocks(g.tiles(together), 1), block, g.block_size(together) * sizeof(Wide<T>),
         at::cuda::getCurrentCUDAStream()>>>(g, image.const_data_ptr<T>(),
                                             weight.const_data_ptr<T>(), bias,
                                             out.mutable_data_ptr<T>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

template <class T>
void launch_correlation(const PlaneCorrelation& c, const at::Tensor& image, const at::Tensor& grad,
                        const at::Tensor& found) {
  if (found.numel() == 0) return;
  const auto stream = at::cuda::getCurrentCUDAStream();
  const auto type = c10::CppTypeToScalarType<Wide<T>>::value;
  auto partial = at::empty({c.pairs(), c.parts, c.taps()}, image.options().dtype(type));
  kernels::plane_correlation_kernel<T>
      <<<unsigned(c.pairs() * c.parts), unsigned(c.threads()), c.block_size() * sizeof(Wide<T>),
         stream>>>(c, image.const_data_ptr<T>(), grad.const_data_ptr<T>(),
                   partial.template mutable_data_ptr<Wide<T>>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  kernels::fold_kernel<Wide<T>, T><<<cuda_blocks(found.numel()), cuda_threads, 0, stream>>>(
      found.numel(), c.taps(), c.parts, partial.template const_data_ptr<Wide<T>>(),
      found.mutable_data_ptr<T>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

/// PyTorch's own are as good for small kernels, and know channels-last images.
bool is_ours(const at::Tensor& input, const at::Tensor& weight, const PlaneConvolution& g) {
  const bool small = g.kernel_h <= 5 && g.kernel_w <= 5 && g.dilation_h == 1 && g.dilation_w == 1;
  return !small && weight.scalar_type() == input.scalar_type() && fits(input, g) &&
         input.suggest_memory_format() == at::MemoryFormat::Contiguous;
}

at::Tensor depthwise_forward(const at::Tensor& input, const at::Tensor& weight,
                             const OptionalTensor& bias, at::IntArrayRef padding,
                             at::IntArrayRef dilation) {
  detail::check_depthwise(input, weight, bias, pair(padding), pair(dilation));
  const auto g =
      planes(input, weight, input.size(0) * input.size(1), pair(padding), pair(dilation));
  if (!is_ours(input, weight, g))
    return detail::depthwise_conv2d_composed(input, weight, bias, pair(padding), pair(dilation));
  const c10::cuda::CUDAGuard guard(input.device());
  const auto image = input.contiguous(), taps = weight.contiguous();
  const auto offset = bias ? bias->to(input.scalar_type()).contiguous() : at::Tensor();
  auto out = at::empty({input.size(0), input.size(1), g.out_height, g.out_width}, input.options());
  DEEPLIGHT_DISPATCH(input, "depthwise_conv2d", [&] {
    launch_convolution<scalar_t, 1>(
        g, image, taps, offset.defined() ? offset.const_data_ptr<scalar_t>() : nullptr, out);
  });
  return out;
}

detail::DepthwiseGradients depthwise_backward(const at::Tensor& grad, const at::Tensor& input,
                                              const at::Tensor& weight, at::IntArrayRef padding,
                                              at::IntArrayRef dilation) {
  const auto g =
      planes(input, weight, input.size(0) * input.size(1), pair(padding), pair(dilation));
  if (!is_ours(input, weight, g))
    return detail::depthwise_conv2d_backward_composed(grad, input, weight, pair(padding),
                                                      pair(dilation));
  const c10::cuda::CUDAGuard guard(input.device());
  const auto image = input.contiguous(), above = grad.contiguous(), taps = weight.contiguous();
  auto image_grad = at::empty(image.sizes(), image.options());
  auto weight_grad = at::empty(taps.sizes(), taps.options());
  DEEPLIGHT_DISPATCH(input, "depthwise_conv2d_backward", [&] {
    launch_convolution<scalar_t, 1>(turned(g), above, taps, nullptr, image_grad);
    launch_correlation<scalar_t>(correlation(g), image, above, weight_grad);
  });
  return {image_grad, weight_grad, above.sum({0, 2, 3})};
}

PlaneConvolution dynamic_planes(const at::Tensor& input, const at::Tensor& kernel, Pair padding) {
  auto g = planes(input, kernel, input.size(0), padding, {1, 1});
  g.inputs = int(kernel.size(2)), g.outputs = int(kernel.size(1));
  return g;
}

/// Above this a matrix product per sample is worth its unfolding.
bool is_ours_dynamic(const at::Tensor& input, const at::Tensor& kernel, const PlaneConvolution& g) {
  return kernel.size(1) * kernel.size(2) <= 64 && kernel.scalar_type() == input.scalar_type() &&
         fits(input, g);
}

at::Tensor dynamic_forward(const at::Tensor& input, const at::Tensor& kernel,
                           at::IntArrayRef padding) {
  detail::check_dynamic(input, kernel, pair(padding));
  const auto g = dynamic_planes(input, kernel, pair(padding));
  if (!is_ours_dynamic(input, kernel, g))
    return detail::dynamic_conv2d_composed(input, kernel, pair(padding));
  const c10::cuda::CUDAGuard guard(input.device());
  const auto image = input.contiguous(), own = kernel.contiguous();
  auto out = at::empty({input.size(0), kernel.size(1), g.out_height, g.out_width}, image.options());
  DEEPLIGHT_DISPATCH(input, "dynamic_conv2d",
                     [&] { launch_convolution<scalar_t, 2>(g, image, own, nullptr, out); });
  return out;
}

detail::DynamicGradients dynamic_backward(const at::Tensor& grad, const at::Tensor& input,
                                          const at::Tensor& kernel, at::IntArrayRef padding) {
  const auto g = dynamic_planes(input, kernel, pair(padding));
  if (!is_ours_dynamic(input, kernel, g))
    return detail::dynamic_conv2d_backward_composed(grad, input, kernel, pair(padding));
  const c10::cuda::CUDAGuard guard(input.device());
  const auto image = input.contiguous(), above = grad.contiguous(), own = kernel.contiguous();
  auto image_grad = at::empty(image.sizes(), image.options());
  auto kernel_grad = at::empty(own.sizes(), own.options());
  DEEPLIGHT_DISPATCH(input, "dynamic_conv2d_backward", [&] {
    launch_convolution<scalar_t, 2>(turned(g), above, own, nullptr, image_grad);
    launch_correlation<scalar_t>(correlation(g), image, above, kernel_grad);
  });
  return {image_grad, kernel_grad};
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("depthwise_conv2d", &deeplight::functional::depthwise_forward);
  library.impl("depthwise_conv2d_backward", &deeplight::functional::depthwise_backward);
  library.impl("dynamic_conv2d", &deeplight::functional::dynamic_forward);
  library.impl("dynamic_conv2d_backward", &deeplight::functional::dynamic_backward);
}
