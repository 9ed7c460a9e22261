// torch.ops.deeplight.pixel_warp on CUDA: no grid, and gradients that do not depend on an order.
#pragma once

#include <ATen/Functions.h>
#include <torch/library.h>

#include <limits>
#include <tuple>

#include "affine_warp_launch.hpp"
#include "cuda_tensors.hpp"
#include "deeplight/functional/affine_warp_geometry.hpp"

namespace deeplight::cuda {
namespace {

using kernels::WarpPadding;

functional::detail::WarpOptions warp_options(double centre_x, double centre_y, double max_shift,
                                             std::int64_t padding, at::IntArrayRef size) {
  require(padding >= 0 && padding <= static_cast<int>(WarpPadding::reflection_centres),
          "pixel_warp: padding must be 0 to 3, got ", padding);
  return {centre_x, centre_y, max_shift, static_cast<WarpPadding>(padding), size.vec()};
}

WarpTensor warp_tensor(const at::Tensor& image) {
  return {const_cast<void*>(image.const_data_ptr()), image.stride(0), image.stride(1),
          image.stride(2), image.stride(3)};
}

bool is_channels_last(const at::Tensor& image) {
  return image.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
}

at::Tensor warp_forward(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                        double centre_y, double max_shift, std::int64_t padding,
                        at::IntArrayRef size) {
  const auto g = functional::detail::warp_geometry(
      image, matrix, warp_options(centre_x, centre_y, max_shift, padding, size));
  const c10::cuda::CUDAGuard guard(image.device());
  const auto out = at::empty({g.batch, g.channels, g.out_height, g.out_width},
                             image.options().memory_format(image.suggest_memory_format()));
  if (out.numel() == 0) return out;
  const auto own = matrix.to(image.options().dtype(sum_type(image))).contiguous();
  const WarpArguments call{type_of(image), g, is_channels_last(image), read(own), stream()};
  C10_CUDA_CHECK(launch_warp(call, warp_tensor(image), warp_tensor(out)));
  return out;
}

std::tuple<at::Tensor, at::Tensor> warp_backward(const at::Tensor& grad, const at::Tensor& image,
                                                 const at::Tensor& matrix, double centre_x,
                                                 double centre_y, double max_shift,
                                                 std::int64_t padding, at::IntArrayRef size) {
  const auto g = functional::detail::warp_geometry(
      image, matrix, warp_options(centre_x, centre_y, max_shift, padding, size));
  const c10::cuda::CUDAGuard guard(image.device());
  const auto layout = image.suggest_memory_format();
  const auto above = grad.contiguous(layout);
  const auto by_image = at::zeros(image.sizes(), image.options().memory_format(layout));
  const auto found = at::zeros({g.matrices, 6}, image.options().dtype(at::kDouble));
  if (above.numel() > 0) {
    const auto own = matrix.to(image.options().dtype(sum_type(image))).contiguous();
    const WarpArguments call{type_of(image), g, is_channels_last(by_image), read(own), stream()};
    const auto options = grad.options();
    const auto sums = at::zeros({by_image.numel()}, options.dtype(at::kLong));
    const auto exponent = at::full({1}, std::numeric_limits<int>::min(), options.dtype(at::kInt));
    C10_CUDA_CHECK(launch_warp_image_gradient(call, warp_tensor(above), warp_tensor(by_image),
                                              exponent.mutable_data_ptr<int>(), write(sums)));
    const std::int64_t most = (g.out_height * g.out_width + block_threads - 1) / block_threads;
    const std::int64_t parts = std::clamp<std::int64_t>(1024 / g.batch, 1, most);
    const auto partial = at::empty({g.batch, parts, 6}, found.options());
    C10_CUDA_CHECK(launch_warp_matrix_gradient(call, warp_tensor(image), warp_tensor(above), parts,
                                               partial.mutable_data_ptr<double>(),
                                               found.mutable_data_ptr<double>()));
  }
  return {by_image, found.view({g.matrices, 2, 3}).to(matrix.scalar_type())};
}

}  // namespace
}  // namespace deeplight::cuda

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("pixel_warp", &deeplight::cuda::warp_forward);
  library.impl("pixel_warp_backward", &deeplight::cuda::warp_backward);
}
