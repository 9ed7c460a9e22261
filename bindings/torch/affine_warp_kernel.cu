// Launches of affine warps on CUDA.
#include "affine_warp_launch.hpp"

#include "cuda_types.cuh"
#include "deeplight/kernels/affine_warp.cuh"

namespace deeplight::cuda {
namespace {

using kernels::WarpImage;
using kernels::WarpWork;
using kernels::Wide;

template <class T>
WarpImage<T> image_of(const WarpTensor& tensor) {
  return {static_cast<T*>(tensor.data), tensor.sample, tensor.channel, tensor.row, tensor.column};
}

}  // namespace

cudaError_t launch_warp(const WarpArguments& call, const WarpTensor& image, const WarpTensor& out) {
  const WarpWork work(call.g, call.channels_last);
  with_type(call.type, [&](auto zero) {
    using T = decltype(zero);
    kernels::warp_kernel<T><<<grid_of(work.size(call.g)), block_threads, 0, call.stream>>>(
        call.g, work, image_of<const T>(image), read<Wide<T>>(call.matrix), image_of<T>(out));
  });
  return cudaGetLastError();
}

cudaError_t launch_warp_image_gradient(const WarpArguments& call, const WarpTensor& grad,
                                       const WarpTensor& grad_image, int* exponent, void* sums) {
  const auto& g = call.g;
  const WarpWork work(g, call.channels_last);
  const std::int64_t planes = g.batch * g.channels, pixels = g.out_height * g.out_width;
  const std::int64_t count = planes * g.height * g.width;
  auto* totals = write<unsigned long long>(sums);
  with_type(call.type, [&](auto zero) {
    using T = decltype(zero);
    kernels::largest_exponent_kernel<T>
        <<<std::min(grid_of(planes * pixels), 1024U), block_threads, block_threads * sizeof(int),
           call.stream>>>(planes * pixels, read<T>(grad.data), exponent);
    kernels::warp_scatter_kernel<T><<<grid_of(work.size(g)), block_threads, 0, call.stream>>>(
        g, work, image_of<const T>(grad), read<Wide<T>>(call.matrix), exponent,
        image_of<T>(grad_image), totals);
    kernels::warp_unscale_kernel<T><<<grid_of(count), block_threads, 0, call.stream>>>(
        count, pixels, exponent, totals, write<T>(grad_image.data));
  });
  return cudaGetLastError();
}

cudaError_t launch_warp_matrix_gradient(const WarpArguments& call, const WarpTensor& image,
                                        const WarpTensor& grad, std::int64_t parts, double* partial,
                                        double* found) {
  const auto& g = call.g;
  with_type(call.type, [&](auto zero) {
    using T = decltype(zero);
    kernels::warp_matrix_kernel<T>
        <<<unsigned(g.batch * parts), block_threads, 6 * block_threads * sizeof(double),
           call.stream>>>(g, parts, image_of<const T>(image), read<Wide<T>>(call.matrix),
                          image_of<const T>(grad), partial);
  });
  const std::int64_t count = g.matrices * 6;
  kernels::fold_kernel<double, double><<<grid_of(count), block_threads, 0, call.stream>>>(
      count, 6, g.batch * parts / g.matrices, partial, found);
  return cudaGetLastError();
}

}  // namespace deeplight::cuda
