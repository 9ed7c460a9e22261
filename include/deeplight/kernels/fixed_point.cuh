// Sums that are the same in any order: whole numbers of 2^-k, added by 64-bit atomics.
//
// k follows from the largest magnitude that can be added and from how often: sums of n values below
// 2^e stay below 2^62 with k = 61 - log2(n) - e. For 512 x 512 values that is 2^-43 of the largest,
// far below what float32 keeps of it.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "deeplight/kernels/cuda_block.cuh"
#include "deeplight/kernels/host_device.hpp"

namespace deeplight::kernels {

/// largest = the greatest binary exponent of the finite values among `count`: |value| < 2^largest.
/// Blocks with an int of shared memory per thread.
template <class T>
static __global__ void largest_exponent_kernel(std::int64_t count, const T* values, int* largest) {
  int* exponents = block_memory_of<int>();
  int own = std::numeric_limits<int>::min();
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < count;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    const Wide<T> value = Wide<T>(values[i]);
    int exponent = 0;
    if (value == 0 || !std::isfinite(value)) continue;
    (void)std::frexp(value, &exponent);
    if (exponent > own) own = exponent;
  }
  exponents[threadIdx.x] = own;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned i = 1; i < blockDim.x; ++i)
    if (exponents[i] > own) own = exponents[i];
  atomicMax(largest, own);
}

/// The k of sums of `times` values below 2^largest.
template <class Sum>
DEEPLIGHT_HOST_DEVICE int fixed_point(std::int64_t largest, std::int64_t times) {
  int bits = 0;
  while ((std::int64_t(1) << bits) < times) ++bits;
  const int most = std::numeric_limits<Sum>::max_exponent - 2;  // 2^k is a number, too
  if (largest < -most) return most;
  if (largest > 4 * most) return -most;
  const int scale = 61 - bits - int(largest);
  return scale > most ? most : scale < -most ? -most : scale;
}

/// Adds value * unit to `sum`; a value that is not finite makes a NaN of `out`, zero before.
template <class Sum, class T>
__device__ __forceinline__ void add_fixed(Sum value, Sum unit, unsigned long long* sum, T* out) {
  if (std::isfinite(value)) {
    atomicAdd(sum, static_cast<unsigned long long>(std::llrint(value * unit)));
  } else {
    *out = T(std::numeric_limits<Sum>::quiet_NaN());
  }
}

/// One element of the result, unless it is NaN already.
template <class Sum, class T>
__device__ __forceinline__ void set_from_fixed(unsigned long long sum, int scale, T* out) {
  if (Sum(*out) == 0) *out = T(std::ldexp(Sum(static_cast<long long>(sum)), -scale));
}

}  // namespace deeplight::kernels
