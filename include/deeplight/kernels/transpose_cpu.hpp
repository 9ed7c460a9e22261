// Transposition of a block on raw pointers: to[j * to_row + i] = from[i * from_row + j].
#pragma once

#include <cstdint>
#include <type_traits>

#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {
inline namespace DEEPLIGHT_SIMD_TAG {

namespace transpose_detail {

/// A 4 x 4 block of floats, or a block of any size by single elements.
template <class T>
DEEPLIGHT_ALWAYS_INLINE void block(const T* from, std::int64_t from_row, T* to, std::int64_t to_row,
                                   std::int64_t rows, std::int64_t columns) {
#if defined(__SSE__)
  if constexpr (std::is_same_v<T, float>) {
    if (rows == 4 && columns == 4) {
      __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + from_row);
      __m128 c = _mm_loadu_ps(from + 2 * from_row), d = _mm_loadu_ps(from + 3 * from_row);
      _MM_TRANSPOSE4_PS(a, b, c, d);
      _mm_storeu_ps(to, a);
      _mm_storeu_ps(to + to_row, b);
      _mm_storeu_ps(to + 2 * to_row, c);
      _mm_storeu_ps(to + 3 * to_row, d);
      return;
    }
  }
#endif
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) to[j * to_row + i] = from[i * from_row + j];
}

DEEPLIGHT_ALWAYS_INLINE std::int64_t at_most_4(std::int64_t n) {
  return n < 4 ? n : 4;
}

}  // namespace transpose_detail

/// `rows` x `columns` numbers of `from`; row strides count elements. The ranges must not overlap.
/// `far_from` says that the rows of `from` lie far apart, else those of `to`: that side is walked
/// along its rows, because rows whose distance is a power of two share a few lines of the cache.
template <class T>
void transpose(const T* DEEPLIGHT_RESTRICT from, std::int64_t from_row, T* DEEPLIGHT_RESTRICT to,
               std::int64_t to_row, std::int64_t rows, std::int64_t columns, bool far_from) {
  using namespace transpose_detail;
  if (far_from) {
    for (std::int64_t i = 0; i < rows; i += 4)
      for (std::int64_t j = 0; j < columns; j += 4)
        block(from + i * from_row + j, from_row, to + j * to_row + i, to_row, at_most_4(rows - i),
              at_most_4(columns - j));
  } else {
    for (std::int64_t j = 0; j < columns; j += 4)
      for (std::int64_t i = 0; i < rows; i += 4)
        block(from + i * from_row + j, from_row, to + j * to_row + i, to_row, at_most_4(rows - i),
              at_most_4(columns - j));
  }
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
