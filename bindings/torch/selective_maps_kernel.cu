// Launches of what the large selective kernel computes between its convolutions.
#include "selective_maps_launch.hpp"

#include "cuda_types.cuh"
#include "deeplight/kernels/selective_maps.cuh"

namespace deeplight::cuda {

cudaError_t launch_selective_maps(const SelectiveSizes& sizes, const void* first,
                                  const void* second, void* maps) {
  with_type(sizes.type, [&](auto zero) {
    using T = decltype(zero);
    kernels::selective_maps_kernel<T>
        <<<grid_of(sizes.batch * sizes.pixels), block_threads, 0, sizes.stream>>>(
            sizes.batch, sizes.channels, sizes.pixels, read<T>(first), read<T>(second),
            write<T>(maps));
  });
  return cudaGetLastError();
}

cudaError_t launch_selective_mix(const SelectiveSizes& sizes, const void* first, const void* second,
                                 const void* gates, const void* bias, void* mixed) {
  with_type(sizes.type, [&](auto zero) {
    using T = decltype(zero);
    kernels::selective_mix_kernel<T>
        <<<grid_of(sizes.batch * sizes.pixels), block_threads, 0, sizes.stream>>>(
            sizes.batch, sizes.channels, sizes.pixels, read<T>(first), read<T>(second),
            read<T>(gates), read<T>(bias), write<T>(mixed));
  });
  return cudaGetLastError();
}

}  // namespace deeplight::cuda
