// The types of a launch, for x_kernel.cu.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "cuda_launch.hpp"

namespace deeplight::cuda {

/// Calls visit(T{}) with a value of the type.
template <class Visit>
void with_type(Type type, const Visit& visit) {
  switch (type) {
    case Type::float32:
      return visit(float{});
    case Type::float64:
      return visit(double{});
    case Type::float16:
      return visit(__half{});
    case Type::bfloat16:
      return visit(__nv_bfloat16{});
  }
}

/// Calls visit(T{}, std::bool_constant<tensor cores>{}): half types have no other product, float64
/// has not that one.
template <class Visit>
void with_product(Type type, bool tensor_cores, const Visit& visit) {
  with_type(type, [&](auto zero) {
    constexpr std::size_t size = sizeof(zero);
    if constexpr (size == 2) {
      visit(zero, std::true_type{});
    } else if constexpr (size == 8) {
      visit(zero, std::false_type{});
    } else if (tensor_cores) {
      visit(zero, std::true_type{});
    } else {
      visit(zero, std::false_type{});
    }
  });
}

template <class T>
const T* read(const void* data) {
  return static_cast<const T*>(data);
}
template <class T>
T* write(void* data) {
  return static_cast<T*>(data);
}

}  // namespace deeplight::cuda
