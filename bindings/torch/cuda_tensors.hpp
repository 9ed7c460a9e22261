// Tensors as the launches of our CUDA kernels take them, for x_cuda.hpp.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <optional>

#include "cuda_launch.hpp"
#include "deeplight/core/errors.hpp"

namespace deeplight::cuda {

inline Type type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return Type::float32;
    case at::kDouble:
      return Type::float64;
    case at::kHalf:
      return Type::float16;
    case at::kBFloat16:
      return Type::bfloat16;
    default:
      break;
  }
  throw InvalidArgument(concat("CUDA kernels take float32, float64, float16 and bfloat16, got ",
                               tensor.scalar_type()));
}

/// What sums of the tensor's type are held in.
inline at::ScalarType sum_type(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// The elements, or null of an undefined tensor.
inline const void* read(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr() : nullptr;
}
inline void* write(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data_ptr() : nullptr;
}

inline std::optional<at::Tensor> to_type(const std::optional<at::Tensor>& tensor,
                                         at::ScalarType type) {
  return tensor ? std::optional<at::Tensor>(tensor->to(type)) : std::nullopt;
}

/// bfloat16, half and TF32 all multiply on the tensor cores of this capability and later ones.
inline bool has_tensor_cores() {
  return at::cuda::getCurrentDeviceProperties()->major >= 8;
}

inline cudaStream_t stream() {
  return c10::cuda::getCurrentCUDAStream();
}

}  // namespace deeplight::cuda
