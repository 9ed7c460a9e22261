// Launches of kernels/deform_conv_fused.cuh and kernels/deform_conv_backward.cuh.
#pragma once

#include "cuda_launch.hpp"
#include "deeplight/kernels/deform_fusion.hpp"

namespace deeplight::cuda {

/// The tensors of one call, of one type, without gaps; mask, bias and grad or null.
struct DeformArguments {
  Type type;
  bool tensor_cores;
  kernels::DeformGeometry g;
  kernels::DeformFusion f;
  const void *image, *offset, *mask, *weight, *bias, *grad;
  cudaStream_t stream;
};

/// out [B, O, OH*OW]. Weights [groups, K, outputs, depth].
cudaError_t launch_deform_forward(const DeformArguments& call, void* out);

/// exponents [3], of gradients, weights and masks, for the fixed point.
cudaError_t launch_deform_exponents(const DeformArguments& call, int* exponents);

struct DeformGradientArguments {
  /// Without exponents numbers are scattered, with them whole numbers.
  const int* exponents;
  void *scattered, *image, *offset, *mask;
};

/// Adds one range to the gradients. Weights [groups, K, depth, outputs].
cudaError_t launch_deform_backward(const DeformArguments& call, const kernels::DeformRange& range,
                                   const DeformGradientArguments& to);

/// grad_weight [groups, K, outputs, depth]; partial [parts, as many], in the type of sums.
cudaError_t launch_deform_weight(const DeformArguments& call, std::int64_t parts, void* partial,
                                 void* grad_weight);

}  // namespace deeplight::cuda
