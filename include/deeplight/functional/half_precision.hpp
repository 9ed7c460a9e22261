// Which tensors the CPU kernels compute in single precision.
#pragma once

#include <ATen/core/Tensor.h>

namespace deeplight::functional::detail {

inline bool is_half(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16;
}

}  // namespace deeplight::functional::detail
