// The product of two tiles in shared memory by the 256 threads of a block, sums in registers.
//
//   sums [rows, 64] += left [rows, depth] right [depth, 64]      or right^T, from right [64, depth]
//
// On tensor cores (float as TF32, half, bfloat16), eight warps with 16 columns and half of the rows
// each; else by plain multiply-adds, rows / 16 x 4 sums to a thread.
#pragma once

#include <cstdint>

#include "deeplight/kernels/tensor_core.cuh"

namespace deeplight::kernels {

inline constexpr int product_threads = 256, product_columns = 64;

template <class T>
struct alignas(4 * sizeof(T)) Four {
  T value[4];
};

/// What lengthens a row in shared memory, so that rows begin in different banks and stay aligned.
template <class T>
inline constexpr int row_pad = sizeof(T) == 2 ? 8 : 4;

/// All threads of the block call together, between barriers. Rows are multiples of four elements
/// and of 16 bytes, tiles begin at multiples of 32 bytes; depths are multiples of `step`.
template <class T, bool tensor_cores, int rows>
class BlockProduct;

template <class T, int rows>
class BlockProduct<T, true, rows> {
  static_assert(rows % 32 == 0);

 public:
  static constexpr int step = tensor_depth<T>;

  __device__ __forceinline__ void clear() {
    DEEPLIGHT_UNROLL
    for (auto& each : tile_) each.clear();
  }

  __device__ __forceinline__ void add(const T* left, int left_row, const T* right, int right_row,
                                      int depth) {
    for (int k = 0; k < depth; k += step) DEEPLIGHT_UNROLL
    for (int i = 0; i < tiles; ++i)
      tile_[i].add_product(left + (first_row() + i * 16) * left_row + k, left_row,
                           right + k * right_row + first_column(), right_row);
  }

  __device__ __forceinline__ void add_transposed(const T* left, int left_row, const T* right,
                                                 int right_row, int depth) {
    for (int k = 0; k < depth; k += step) DEEPLIGHT_UNROLL
    for (int i = 0; i < tiles; ++i)
      tile_[i].add_product_transposed(left + (first_row() + i * 16) * left_row + k, left_row,
                                      right + first_column() * right_row + k, right_row);
  }

  __device__ __forceinline__ void store(float* to, int row) const {
    DEEPLIGHT_UNROLL
    for (int i = 0; i < tiles; ++i)
      tile_[i].store(to + (first_row() + i * 16) * row + first_column(), row);
  }

 private:
  static constexpr int tiles = rows / 32;

  static __device__ __forceinline__ int first_row() { return int(threadIdx.x) / 128 * (rows / 2); }
  static __device__ __forceinline__ int first_column() { return int(threadIdx.x) / 32 % 4 * 16; }

  TensorTile<T> tile_[tiles];
};

template <class T, int rows>
class BlockProduct<T, false, rows> {
  static_assert(rows % 16 == 0);
  using Sum = Wide<T>;

 public:
  static constexpr int step = 4;

  __device__ __forceinline__ void clear() {
    DEEPLIGHT_UNROLL
    for (auto& row : sum_) DEEPLIGHT_UNROLL
    for (Sum& each : row) each = Sum(0);
  }

  __device__ __forceinline__ void add(const T* left, int left_row, const T* right, int right_row,
                                      int depth) {
    for (int k = 0; k < depth; k += step) {
      Four<T> own[count];
      DEEPLIGHT_UNROLL
      for (int i = 0; i < count; ++i) own[i] = four(left, left_row, first_row() + 16 * i, k);
      DEEPLIGHT_UNROLL
      for (int each = 0; each < step; ++each) {
        const T* from = right + (k + each) * right_row + first_column();
        DEEPLIGHT_UNROLL
        for (int j = 0; j < 4; ++j) {
          const Sum value = Sum(from[16 * j]);
          DEEPLIGHT_UNROLL
          for (int i = 0; i < count; ++i) sum_[i][j] += Sum(own[i].value[each]) * value;
        }
      }
    }
  }

  __device__ __forceinline__ void add_transposed(const T* left, int left_row, const T* right,
                                                 int right_row, int depth) {
    for (int k = 0; k < depth; k += step) {
      Four<T> own[count];
      DEEPLIGHT_UNROLL
      for (int i = 0; i < count; ++i) own[i] = four(left, left_row, first_row() + 16 * i, k);
      DEEPLIGHT_UNROLL
      for (int j = 0; j < 4; ++j) {
        const Four<T> other = four(right, right_row, first_column() + 16 * j, k);
        DEEPLIGHT_UNROLL
        for (int each = 0; each < step; ++each) {
          const Sum value = Sum(other.value[each]);
          DEEPLIGHT_UNROLL
          for (int i = 0; i < count; ++i) sum_[i][j] += Sum(own[i].value[each]) * value;
        }
      }
    }
  }

  __device__ __forceinline__ void store(Sum* to, int row) const {
    DEEPLIGHT_UNROLL
    for (int i = 0; i < count; ++i) DEEPLIGHT_UNROLL
    for (int j = 0; j < 4; ++j)
      to[(first_row() + 16 * i) * row + first_column() + 16 * j] = sum_[i][j];
  }

 private:
  static constexpr int count = rows / 16;

  static __device__ __forceinline__ int first_row() { return int(threadIdx.x) / 16; }
  static __device__ __forceinline__ int first_column() { return int(threadIdx.x) % 16; }
  static __device__ __forceinline__ Four<T> four(const T* tile, int pitch, int row, int k) {
    return *reinterpret_cast<const Four<T>*>(tile + row * pitch + k);
  }

  Sum sum_[count][4];
};

}  // namespace deeplight::kernels
