// torch.ops.deeplight.pixel_warp on CUDA: no grid, and gradients that do not depend on an order.
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <torch/library.h>

#include <limits>
#include <tuple>

#include "cuda_launch.hpp"
#include "deeplight/functional/affine_warp_geometry.hpp"
#include "deeplight/kernels/affine_warp.cuh"

namespace deeplight::functional {
namespace {

using kernels::WarpImage;
using kernels::WarpWork;
using kernels::Wide;

#define DEEPLIGHT_DISPATCH(tensor, name, ...)                                             \
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, (tensor).scalar_type(), name, \
                                  __VA_ARGS__)

detail::WarpOptions options_of(double centre_x, double centre_y, double max_shift,
                               std::int64_t padding, at::IntArrayRef size) {
  require(padding >= 0 && padding <= static_cast<int>(kernels::WarpPadding::reflection_centres),
          "pixel_warp: padding must be 0 to 3, got ", padding);
  return {centre_x, centre_y, max_shift, static_cast<kernels::WarpPadding>(padding), size.vec()};
}

template <class T>
WarpImage<const T> source(const at::Tensor& image) {
  return {image.const_data_ptr<T>(), image.stride(0), image.stride(1), image.stride(2),
          image.stride(3)};
}

template <class T>
WarpImage<T> target(const at::Tensor& image) {
  return {image.mutable_data_ptr<T>(), image.stride(0), image.stride(1), image.stride(2),
          image.stride(3)};
}

bool is_channels_last(const at::Tensor& image) {
  return image.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
}

/// Matrices in the type of sums, on the image's device.
template <class T>
at::Tensor numbers_of(const at::Tensor& matrix, const at::Tensor& image) {
  return matrix.to(image.options().dtype(c10::CppTypeToScalarType<Wide<T>>::value)).contiguous();
}

at::Tensor forward_cuda(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                        double centre_y, double max_shift, std::int64_t padding,
                        at::IntArrayRef size) {
  const auto g = detail::warp_geometry(image, matrix,
                                       options_of(centre_x, centre_y, max_shift, padding, size));
  const c10::cuda::CUDAGuard guard(image.device());
  auto out = at::empty({g.batch, g.channels, g.out_height, g.out_width},
                       image.options().memory_format(image.suggest_memory_format()));
  if (out.numel() == 0) return out;
  const WarpWork work(g, is_channels_last(image));
  DEEPLIGHT_DISPATCH(image, "pixel_warp", [&] {
    const auto own = numbers_of<scalar_t>(matrix, image);
    kernels::warp_kernel<scalar_t>
        <<<cuda_blocks(work.size(g)), cuda_threads, 0, at::cuda::getCurrentCUDAStream()>>>(
            g, work, source<scalar_t>(image), own.const_data_ptr<Wide<scalar_t>>(),
            target<scalar_t>(out));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  });
  return out;
}

/// grad has `count` elements without gaps; grad_image is zero and without gaps.
template <class T>
void image_gradient(const kernels::WarpGeometry& g, const at::Tensor& grad, const at::Tensor& own,
                    const at::Tensor& grad_image) {
  const auto stream = at::cuda::getCurrentCUDAStream();
  const std::int64_t count = grad_image.numel();
  auto sums = at::zeros({count}, grad.options().dtype(at::kLong));
  auto largest = at::full({1}, std::numeric_limits<int>::min(), grad.options().dtype(at::kInt));
  auto* totals = reinterpret_cast<unsigned long long*>(sums.mutable_data_ptr<std::int64_t>());
  int* exponent = largest.mutable_data_ptr<int>();
  const auto some = std::min(cuda_blocks(grad.numel()), 1024U);
  kernels::warp_exponent_kernel<T><<<some, cuda_threads, cuda_threads * sizeof(int), stream>>>(
      grad.numel(), grad.const_data_ptr<T>(), exponent);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  const WarpWork work(g, is_channels_last(grad_image));
  kernels::warp_scatter_kernel<T><<<cuda_blocks(work.size(g)), cuda_threads, 0, stream>>>(
      g, work, source<T>(grad), own.const_data_ptr<Wide<T>>(), exponent, target<T>(grad_image),
      totals);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  kernels::warp_unscale_kernel<T><<<cuda_blocks(count), cuda_threads, 0, stream>>>(
      count, g.out_height * g.out_width, exponent, totals, grad_image.mutable_data_ptr<T>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

template <class T>
void matrix_gradient(const kernels::WarpGeometry& g, const at::Tensor& grad,
                     const at::Tensor& image, const at::Tensor& own, const at::Tensor& sums) {
  const auto stream = at::cuda::getCurrentCUDAStream();
  const std::int64_t most = (g.out_height * g.out_width + cuda_threads - 1) / cuda_threads;
  const std::int64_t parts = std::clamp<std::int64_t>(1024 / g.batch, 1, most);
  auto partial = at::empty({g.batch, parts, 6}, sums.options());
  kernels::warp_matrix_kernel<T>
      <<<unsigned(g.batch * parts), cuda_threads, 6 * cuda_threads * sizeof(double), stream>>>(
          g, parts, source<T>(image), own.const_data_ptr<Wide<T>>(), source<T>(grad),
          partial.mutable_data_ptr<double>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  kernels::fold_kernel<double, double><<<cuda_blocks(sums.numel()), cuda_threads, 0, stream>>>(
      sums.numel(), 6, g.batch * parts / g.matrices, partial.const_data_ptr<double>(),
      sums.mutable_data_ptr<double>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

std::tuple<at::Tensor, at::Tensor> backward_cuda(const at::Tensor& grad, const at::Tensor& image,
                                                 const at::Tensor& matrix, double centre_x,
                                                 double centre_y, double max_shift,
                                                 std::int64_t padding, at::IntArrayRef size) {
  const auto g = detail::warp_geometry(image, matrix,
                                       options_of(centre_x, centre_y, max_shift, padding, size));
  const c10::cuda::CUDAGuard guard(image.device());
  const auto layout = image.suggest_memory_format();
  const auto above = grad.contiguous(layout);
  auto by_image = at::zeros(image.sizes(), image.options().memory_format(layout));
  auto sums = at::zeros({g.matrices, 6}, image.options().dtype(at::kDouble));
  if (above.numel() > 0) {
    DEEPLIGHT_DISPATCH(image, "pixel_warp_backward", [&] {
      const auto own = numbers_of<scalar_t>(matrix, image);
      image_gradient<scalar_t>(g, above, own, by_image);
      matrix_gradient<scalar_t>(g, above, image, own, sums);
    });
  }
  return {by_image, sums.view({g.matrices, 2, 3}).to(matrix.scalar_type())};
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("pixel_warp", &deeplight::functional::forward_cuda);
  library.impl("pixel_warp_backward", &deeplight::functional::backward_cuda);
}
