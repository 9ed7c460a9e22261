// The product of small tiles on tensor cores, by one warp, and its stand-in for the CPU.
//
// float is rounded to TF32, half and bfloat16 are taken as they are; sums are float32. The stand-in
// rounds nothing: every thread of a warp computes and holds the whole tile.
#pragma once

#include <cstdint>

#include "deeplight/kernels/cuda_block.cuh"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>
#endif

namespace deeplight::kernels {

/// Rows of b that one product takes.
template <class T>
inline constexpr int tensor_depth = sizeof(T) == 4 ? 8 : 16;

#if defined(__CUDACC__)

/// As what tensor cores take numbers of type T.
template <class T>
struct TensorOperand {
  using Type = T;
};
template <>
struct TensorOperand<float> {
  using Type = nvcuda::wmma::precision::tf32;
};

/// A warp's tile [16, 16] of sums. All threads of the warp call together; addresses are multiples
/// of 32 bytes, rows of 16.
template <class T>
class TensorTile {
 public:
  __device__ __forceinline__ void clear() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    nvcuda::wmma::fill_fragment(sum_, 0.0F);
#endif
  }

  /// += a [16, depth] b [depth, 16].
  __device__ __forceinline__ void add_product(const T* a, int a_row, const T* b, int b_row) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    add<nvcuda::wmma::row_major>(a, a_row, b, b_row);
#endif
  }

  /// += a [16, depth] b^T, b [16, depth].
  __device__ __forceinline__ void add_product_transposed(const T* a, int a_row, const T* b,
                                                         int b_row) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    add<nvcuda::wmma::col_major>(a, a_row, b, b_row);
#endif
  }

  __device__ __forceinline__ void store(float* to, int row) const {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    nvcuda::wmma::store_matrix_sync(to, sum_, unsigned(row), nvcuda::wmma::mem_row_major);
#endif
  }

 private:
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  template <class Layout>
  __device__ __forceinline__ void add(const T* a, int a_row, const T* b, int b_row) {
    namespace wmma = nvcuda::wmma;
    using Operand = typename TensorOperand<T>::Type;
    constexpr int depth = tensor_depth<T>;
    wmma::fragment<wmma::matrix_a, 16, 16, depth, Operand, wmma::row_major> left;
    wmma::fragment<wmma::matrix_b, 16, 16, depth, Operand, Layout> right;
    wmma::load_matrix_sync(left, a, unsigned(a_row));
    wmma::load_matrix_sync(right, b, unsigned(b_row));
    if constexpr (sizeof(T) == 4) {
      DEEPLIGHT_UNROLL
      for (int i = 0; i < left.num_elements; ++i) left.x[i] = wmma::__float_to_tf32(left.x[i]);
      DEEPLIGHT_UNROLL
      for (int i = 0; i < right.num_elements; ++i) right.x[i] = wmma::__float_to_tf32(right.x[i]);
    }
    wmma::mma_sync(sum_, left, right, sum_);
  }

  nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, tensor_depth<T>, float> sum_;
#endif
};

#else

template <class T>
class TensorTile {
 public:
  void clear() {
    for (float& value : sum_) value = 0;
  }

  void add_product(const T* a, int a_row, const T* b, int b_row) {
    for (int y = 0; y < 16; ++y)
      for (int k = 0; k < tensor_depth<T>; ++k) {
        const float left = float(a[y * a_row + k]);
        for (int x = 0; x < 16; ++x) sum_[y * 16 + x] += left * float(b[k * b_row + x]);
      }
  }

  void add_product_transposed(const T* a, int a_row, const T* b, int b_row) {
    for (int y = 0; y < 16; ++y)
      for (int x = 0; x < 16; ++x)
        for (int k = 0; k < tensor_depth<T>; ++k)
          sum_[y * 16 + x] += float(a[y * a_row + k]) * float(b[x * b_row + k]);
  }

  void store(float* to, int row) const {
    for (int i = 0; i < 256; ++i) to[i / 16 * row + i % 16] = sum_[i];
  }

 private:
  float sum_[256];
};

#endif

}  // namespace deeplight::kernels
