// A small matrix product for blocks that stay in a core's cache: C[m, n] += A[m, k] B[k, n].
//
// One core, no allocation, no thread: operators call it per block with operands that they have just
// written (columns of a convolution in L1 or L2). A is read where it lies, through two strides, one
// element at a time; B lies in rows (or in panels packed by `pack_rows`, see below) and is read by
// vectors; C stays in registers over the whole depth k. The register block is `rows` x `packs`
// vectors: 12x2 or 6x4 with 32 registers, 6x2 with 16, so that each loaded vector of B meets
// enough rows to keep both multipliers busy.
// The order of summation over k is 0, 1, 2, ... for every element, whatever the block.
#pragma once

#include <cstdint>

#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {

/// Operands of one product. Strides count elements.
template <class T>
struct GemmBlock {
  std::int64_t rows = 0, columns = 0, depth = 0;  // m, n, k
  const T* a = nullptr;                           // a[i * a_row + k * a_depth]
  std::int64_t a_row = 0, a_depth = 1;
  const T* b = nullptr;  // b[k * b_depth + j]
  std::int64_t b_depth = 0;
  T* c = nullptr;  // c[i * c_row + j]
  std::int64_t c_row = 0;
  const T* start = nullptr;  // null: c; else what is added to, start[i * start_row + j]
  std::int64_t start_row = 0;
};

inline namespace DEEPLIGHT_SIMD_TAG {

/// Columns of B and C rounded up to whole vectors: allocate (and zero) that many.
template <class T, class Arch>
constexpr std::int64_t padded_columns(std::int64_t columns) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  return (columns + width - 1) / width * width;
}

namespace gemm_detail {

template <class T, class Arch, int rows, int packs>
DEEPLIGHT_ALWAYS_INLINE void micro_kernel(const T* DEEPLIGHT_RESTRICT a, std::int64_t a_row,
                                          std::int64_t a_depth, const T* DEEPLIGHT_RESTRICT b,
                                          std::int64_t b_depth, const T* start,
                                          std::int64_t start_row, T* c, std::int64_t c_row,
                                          std::int64_t depth) {
  using Pack = simd::Pack<T, Arch>;
  Pack sum[rows][packs];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < packs; ++j) sum[i][j] = Pack::load(start + i * start_row + j * Pack::width);
  for (std::int64_t k = 0; k < depth; ++k) {
    Pack right[packs];
#pragma GCC unroll 4
    for (int j = 0; j < packs; ++j) right[j] = Pack::load(b + j * Pack::width);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Pack left = Pack::all(a[i * a_row]);
#pragma GCC unroll 4
      for (int j = 0; j < packs; ++j) sum[i][j] = fma(left, right[j], sum[i][j]);
    }
    a += a_depth;
    b += b_depth;
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < packs; ++j) sum[i][j].store(c + i * c_row + j * Pack::width);
}

/// Rows from `i` on while `rows` of them are left; returns the first that is left over.
template <class T, class Arch, int rows, int packs>
DEEPLIGHT_ALWAYS_INLINE std::int64_t rows_from(std::int64_t i, const GemmBlock<T>& g,
                                               std::int64_t column) {
  const T* const start = g.start ? g.start : g.c;
  const std::int64_t start_row = g.start ? g.start_row : g.c_row;
  for (; i + rows <= g.rows; i += rows)
    micro_kernel<T, Arch, rows, packs>(g.a + i * g.a_row, g.a_row, g.a_depth, g.b + column,
                                       g.b_depth, start + i * start_row + column, start_row,
                                       g.c + i * g.c_row + column, g.c_row, g.depth);
  return i;
}

template <class T, class Arch, int rows, int packs>
void panel(const GemmBlock<T>& g, std::int64_t column) {
  std::int64_t i = rows_from<T, Arch, rows, packs>(0, g, column);
  if constexpr (rows > 8) i = rows_from<T, Arch, 8, packs>(i, g, column);
  if constexpr (rows > 4) i = rows_from<T, Arch, 4, packs>(i, g, column);
  if constexpr (rows > 2) i = rows_from<T, Arch, 2, packs>(i, g, column);
  rows_from<T, Arch, 1, packs>(i, g, column);
}

}  // namespace gemm_detail

/// C += A B, or C = start + A B. Reads and writes `padded_columns(columns)` columns of B and C; the
/// surplus columns of B must hold finite numbers or be ignored by the caller in C. Rows need no
/// padding. Best speed where rows are a multiple of 12 (48 is), A's depth stride is 1, and B fits
/// in half of the L2 cache.
template <class T, class Arch>
void gemm_accumulate(const GemmBlock<T>& g) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  const std::int64_t packs = padded_columns<T, Arch>(g.columns) / width;
  std::int64_t j = 0;
  if constexpr (simd::registers<Arch> >= 32) {
    for (; packs - j >= 4 && packs - j != 5; j += 4)
      gemm_detail::panel<T, Arch, 6, 4>(g, j * width);
    for (; packs - j >= 3; j += 3) gemm_detail::panel<T, Arch, 8, 3>(g, j * width);
    for (; packs - j >= 2; j += 2) gemm_detail::panel<T, Arch, 12, 2>(g, j * width);
    for (; j < packs; ++j) gemm_detail::panel<T, Arch, 12, 1>(g, j * width);
  } else {
    for (; packs - j >= 2 && packs - j != 3; j += 2)
      gemm_detail::panel<T, Arch, 6, 2>(g, j * width);
    for (; packs - j >= 3; j += 3) gemm_detail::panel<T, Arch, 4, 3>(g, j * width);
    for (; j < packs; ++j) gemm_detail::panel<T, Arch, 12, 1>(g, j * width);
  }
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
