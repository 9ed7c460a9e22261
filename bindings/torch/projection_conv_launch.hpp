// Launches of kernels/pixel_shuffle_conv.cuh and kernels/projection_tail.cuh.
#pragma once

#include "cuda_launch.hpp"
#include "deeplight/kernels/pixel_shuffle_sizes.hpp"

namespace deeplight::cuda {

/// What follows the product; all but `out` may be null.
struct TailPointers {
  const void *bias, *slope, *residual;
  void *kept, *out;
};

/// Weights [O, rh, rw, I], channels last [I, rh, rw, O]; bias [rh * rw, O].
cudaError_t launch_pixel_shuffle(Type type, bool tensor_cores, const kernels::PixelShuffle& s,
                                 const void* image, const void* weight, const TailPointers& tail,
                                 cudaStream_t stream);

/// An image [outer, channels, inner].
struct TailSizes {
  Type type;
  std::int64_t outer, channels, inner;
  cudaStream_t stream;
};

/// `product` may be `kept` or, unless that is given, `out`.
cudaError_t launch_projection_tail(const TailSizes& sizes, double alpha, const void* product,
                                   const TailPointers& tail);

/// found [2, channels]: of bias and of slope; partial [2, parts, channels], in the type of sums.
cudaError_t launch_projection_tail_gradient(const TailSizes& sizes, std::int64_t parts,
                                            const void* above, const void* sums, const void* slope,
                                            void* below, void* partial, void* found);

}  // namespace deeplight::cuda
