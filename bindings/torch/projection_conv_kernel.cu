// Launches of 1x1 convolution with PixelShuffle and of a projection's tail on CUDA.
#include "projection_conv_launch.hpp"

#include "cuda_types.cuh"
#include "deeplight/kernels/pixel_shuffle_conv.cuh"
#include "deeplight/kernels/projection_tail.cuh"

namespace deeplight::cuda {

using kernels::Wide;

cudaError_t launch_pixel_shuffle(Type type, bool tensor_cores, const kernels::PixelShuffle& s,
                                 const void* image, const void* weight, const TailPointers& tail,
                                 cudaStream_t stream) {
  with_product(type, tensor_cores, [&](auto zero, auto on_tensor_cores) {
    using T = decltype(zero);
    constexpr std::size_t shared = sizeof(kernels::PixelShuffleMemory<T>);
    static_assert(shared <= shared_memory);
    kernels::pixel_shuffle_conv_kernel<T, decltype(on_tensor_cores)::value>
        <<<grid_of(s.blocks(), 1), kernels::product_threads, shared, stream>>>(
            s, read<T>(image), read<T>(weight), read<T>(tail.bias), read<T>(tail.slope),
            read<T>(tail.residual), write<T>(tail.kept), write<T>(tail.out));
  });
  return cudaGetLastError();
}

cudaError_t launch_projection_tail(const TailSizes& sizes, double alpha, const void* product,
                                   const TailPointers& tail) {
  const std::int64_t count = sizes.outer * sizes.channels * sizes.inner;
  with_type(sizes.type, [&](auto zero) {
    using T = decltype(zero);
    kernels::projection_tail_kernel<T><<<grid_of(count), block_threads, 0, sizes.stream>>>(
        count, sizes.channels, sizes.inner, alpha, read<T>(product), read<T>(tail.bias),
        read<T>(tail.slope), read<T>(tail.residual), write<T>(tail.kept), write<T>(tail.out));
  });
  return cudaGetLastError();
}

cudaError_t launch_projection_tail_gradient(const TailSizes& sizes, std::int64_t parts,
                                            const void* above, const void* sums, const void* slope,
                                            void* below, void* partial, void* found) {
  const std::int64_t chunks = sizes.inner > 1 ? sizes.channels : (sizes.channels + 31) / 32;
  with_type(sizes.type, [&](auto zero) {
    using T = decltype(zero);
    auto* parted = write<Wide<T>>(partial);
    kernels::projection_tail_gradient_kernel<T>
        <<<unsigned(chunks * parts), 256, 512 * sizeof(Wide<T>), sizes.stream>>>(
            sizes.outer, sizes.channels, sizes.inner, parts, read<T>(above), read<T>(sums),
            read<T>(slope), write<T>(below), parted);
    const std::int64_t count = 2 * sizes.channels;
    kernels::fold_kernel<Wide<T>, T><<<grid_of(count), block_threads, 0, sizes.stream>>>(
        count, sizes.channels, parts, parted, write<T>(found));
  });
  return cudaGetLastError();
}

}  // namespace deeplight::cuda
