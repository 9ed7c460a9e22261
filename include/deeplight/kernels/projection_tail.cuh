// CUDA kernels of what surrounds the product of a projection: bias, PReLU and residual in one pass,
// and its gradients.
//
//   sums += bias;   out = PReLU(sums) + alpha * residual
//   below = above * (sums > 0 ? 1 : slope);   bias: sum of below;   slope: sum of above * sums, <=
//   0
//
// An image is [outer, channels, inner]: planes are (B, C, H*W), channels last is (B*H*W, C, 1).
#pragma once

#include <cstdint>

#include "deeplight/kernels/cuda_block.cuh"

namespace deeplight::kernels {

/// All of `count` = outer * channels * inner; bias and slope [channels], residual, kept: or null.
/// `out` may be where `product` is, unless that is kept.
template <class T>
static __global__ void projection_tail_kernel(std::int64_t count, std::int64_t channels,
                                              std::int64_t inner, double alpha, const T* product,
                                              const T* bias, const T* slope, const T* residual,
                                              T* kept, T* out) {
  using Sum = Wide<T>;
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < count;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    const std::int64_t c = i / inner % channels;
    const Sum sum = Sum(product[i]) + (bias ? Sum(bias[c]) : Sum(0));
    if (kept) kept[i] = T(sum);
    Sum value = slope && !(sum > 0) ? sum * Sum(slope[c]) : sum;
    if (residual) value += Sum(alpha) * Sum(residual[i]);
    out[i] = T(value);
  }
}

/// partial [2, parts, channels]: sums for bias, for slope. Sums and slope null: PReLU is left out.
/// Blocks of 32 x 8 threads and [2, 8, 32] sums of shared memory, one for each part and 32
/// channels; with planes 8 x 32 threads share the pixels of a channel.
template <class T>
static __global__ void __launch_bounds__(256)
    projection_tail_gradient_kernel(std::int64_t outer, std::int64_t channels, std::int64_t inner,
                                    std::int64_t parts, const T* above, const T* sums,
                                    const T* slope, T* below, Wide<T>* partial) {
  using Sum = Wide<T>;
  Sum* shared = block_memory_of<Sum>();
  const bool planes = inner > 1;
  const int thread = int(threadIdx.x), lane = thread % 32, row = thread / 32;
  const std::int64_t part = blockIdx.x % parts, chunk = blockIdx.x / parts;
  const std::int64_t c = planes ? chunk : chunk * 32 + lane;
  const std::int64_t pixels = outer * inner;
  const std::int64_t first = part * (planes ? 256 : 8) + (planes ? thread : row);
  const std::int64_t step = parts * (planes ? 256 : 8);
  Sum by_bias = 0, by_slope = 0;
  if (c < channels) {
    const Sum factor = slope ? Sum(slope[c]) : Sum(1);
    for (std::int64_t pixel = first; pixel < pixels; pixel += step) {
      const std::int64_t i = (pixel / inner * channels + c) * inner + pixel % inner;
      Sum value = Sum(above[i]);
      if (slope) {
        const Sum sum = Sum(sums[i]);
        if (!(sum > 0)) by_slope += value * sum, value *= factor;
      }
      by_bias += value;
      below[i] = T(value);
    }
  }
  shared[thread] = by_bias, shared[256 + thread] = by_slope;
  // Planes: all threads have one channel. Channels last: the eight rows of a lane have one.
  for (int half = 128; half >= (planes ? 1 : 32); half /= 2) {
    __syncthreads();
    if (thread >= half) continue;
    shared[thread] += shared[thread + half];
    shared[256 + thread] += shared[256 + thread + half];
  }
  if (c >= channels || thread >= (planes ? 1 : 32)) return;
  partial[part * channels + c] = shared[thread];
  partial[(parts + part) * channels + c] = shared[256 + thread];
}

}  // namespace deeplight::kernels
