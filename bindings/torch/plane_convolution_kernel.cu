// Launches of depthwise and dynamic convolution on CUDA.
#include "plane_convolution_launch.hpp"

#include "cuda_types.cuh"
#include "deeplight/kernels/plane_convolution.cuh"
#include "deeplight/kernels/plane_correlation.cuh"

namespace deeplight::cuda {

using kernels::Wide;

cudaError_t launch_planes(Type type, const kernels::PlaneConvolution& g, int together,
                          const void* image, const void* weight, const void* bias, void* out,
                          cudaStream_t stream) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const dim3 block(kernels::plane_columns, unsigned(g.strips()));
    const auto launch = [&](auto count) {
      constexpr int at_once = decltype(count)::value;
      kernels::plane_convolution_kernel<T, at_once>
          <<<grid_of(g.tiles(at_once), 1), block, g.block_size(at_once) * sizeof(Wide<T>),
             stream>>>(g, read<T>(image), read<T>(weight), read<T>(bias), write<T>(out));
    };
    if (together == 1) {
      launch(std::integral_constant<int, 1>{});
    } else {
      launch(std::integral_constant<int, 2>{});
    }
  });
  return cudaGetLastError();
}

cudaError_t launch_correlation(Type type, const kernels::PlaneCorrelation& c, const void* image,
                               const void* grad, void* partial, void* found, cudaStream_t stream) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    auto* sums = write<Wide<T>>(partial);
    kernels::plane_correlation_kernel<T>
        <<<unsigned(c.pairs() * c.parts), unsigned(c.threads()), c.block_size() * sizeof(Wide<T>),
           stream>>>(c, read<T>(image), read<T>(grad), sums);
    const std::int64_t count = c.pairs() * c.taps();
    kernels::fold_kernel<Wide<T>, T><<<grid_of(count), block_threads, 0, stream>>>(
        count, c.taps(), c.parts, sums, write<T>(found));
  });
  return cudaGetLastError();
}

}  // namespace deeplight::cuda
