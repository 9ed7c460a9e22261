// Launches of kernels/plane_convolution.cuh and kernels/plane_correlation.cuh.
#pragma once

#include "cuda_launch.hpp"
#include "deeplight/kernels/plane_sizes.hpp"

namespace deeplight::cuda {

/// `together` results share what is read: 1 or 2. Bias or null.
cudaError_t launch_planes(Type type, const kernels::PlaneConvolution& g, int together,
                          const void* image, const void* weight, const void* bias, void* out,
                          cudaStream_t stream);

/// found [pairs, kh*kw]; partial [pairs, parts, kh*kw], in the type of sums.
cudaError_t launch_correlation(Type type, const kernels::PlaneCorrelation& c, const void* image,
                               const void* grad, void* partial, void* found, cudaStream_t stream);

}  // namespace deeplight::cuda
