// Launches of kernels/selective_maps.cuh.
#pragma once

#include "cuda_launch.hpp"

namespace deeplight::cuda {

/// A batch of images [channels, pixels], without gaps.
struct SelectiveSizes {
  Type type;
  std::int64_t batch, channels, pixels;
  cudaStream_t stream;
};

cudaError_t launch_selective_maps(const SelectiveSizes& sizes, const void* first,
                                  const void* second, void* maps);

cudaError_t launch_selective_mix(const SelectiveSizes& sizes, const void* first, const void* second,
                                 const void* gates, const void* bias, void* mixed);

}  // namespace deeplight::cuda
