// Launches of kernels/affine_warp.cuh.
#pragma once

#include "cuda_launch.hpp"
#include "deeplight/kernels/warp_axis.hpp"

namespace deeplight::cuda {

/// An image [B, C, H, W]; steps in elements. What is only read is not written to.
struct WarpTensor {
  void* data;
  std::int64_t sample, channel, row, column;
};

/// Types, sizes and matrices [matrices, 2, 3], in the type of sums.
struct WarpArguments {
  Type type;
  kernels::WarpGeometry g;
  bool channels_last;
  const void* matrix;
  cudaStream_t stream;
};

cudaError_t launch_warp(const WarpArguments& call, const WarpTensor& image, const WarpTensor& out);

/// grad without gaps; grad_image zero, without gaps; sums [elements of grad_image] zero; exponent
/// the smallest int.
cudaError_t launch_warp_image_gradient(const WarpArguments& call, const WarpTensor& grad,
                                       const WarpTensor& grad_image, int* exponent, void* sums);

/// found [matrices, 6]; partial [batch, parts, 6].
cudaError_t launch_warp_matrix_gradient(const WarpArguments& call, const WarpTensor& image,
                                        const WarpTensor& grad, std::int64_t parts, double* partial,
                                        double* found);

}  // namespace deeplight::cuda
