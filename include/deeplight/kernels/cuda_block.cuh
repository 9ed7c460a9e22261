// What the CUDA kernels share: types of sums, a block's memory, sums of parts in a fixed order.
#pragma once

#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define DEEPLIGHT_UNROLL _Pragma("unroll")
#else
#define DEEPLIGHT_UNROLL
#endif

namespace deeplight::kernels {

/// What values of type T are summed in.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// The dynamic shared memory of a block; kernels use no other kind.
template <class T>
__device__ __forceinline__ T* block_memory_of() {
  extern __shared__ __align__(32) unsigned char block_memory[];
  return reinterpret_cast<T*>(block_memory);
}

/// An unsigned quotient and its remainder.
__device__ __forceinline__ std::int64_t take(std::int64_t& value, std::int64_t size) {
  const std::int64_t whole = value / size, rest = value - whole * size;
  value = whole;
  return rest;
}

/// out[i] of `count`: sums of `parts` values that lie `width` apart, in order, from
/// values[i / width][part][i % width].
template <class Part, class T>
static __global__ void fold_kernel(std::int64_t count, std::int64_t width, std::int64_t parts,
                                   const Part* values, T* out) {
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < count;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    const Part* from = values + i / width * parts * width + i % width;
    double sum = 0;
    for (std::int64_t part = 0; part < parts; ++part) sum += double(from[part * width]);
    out[i] = T(Wide<T>(sum));
  }
}

}  // namespace deeplight::kernels
