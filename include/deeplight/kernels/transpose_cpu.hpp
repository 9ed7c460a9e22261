// Transposition of a block on raw pointers: to[j * to_row + i] = from[i * from_row + j].
#pragma once

#include <cstdint>
#include <type_traits>

#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {
inline namespace DEEPLIGHT_SIMD_TAG {

namespace transpose_detail {

/// Rows and columns of the blocks that the vectors of this translation unit hold.
#if defined(__AVX512F__)
inline constexpr std::int64_t side = 16;
#elif defined(__AVX__)
inline constexpr std::int64_t side = 8;
#elif defined(__SSE__)
inline constexpr std::int64_t side = 4;
#else
inline constexpr std::int64_t side = 1;
#endif

#if defined(__SSE__)

#if defined(__AVX512F__)
using Vector = __m512;
/// Four numbers of each of the rows 0, 4, 8, 12.
DEEPLIGHT_ALWAYS_INLINE Vector four_rows(const float* from, std::int64_t row) {
  const Vector low = _mm512_castps128_ps512(_mm_loadu_ps(from));
  const Vector two = _mm512_mask_broadcast_f32x4(low, 0x00f0, _mm_loadu_ps(from + 4 * row));
  const Vector three = _mm512_mask_broadcast_f32x4(two, 0x0f00, _mm_loadu_ps(from + 8 * row));
  return _mm512_mask_broadcast_f32x4(three, 0xf000, _mm_loadu_ps(from + 12 * row));
}
DEEPLIGHT_ALWAYS_INLINE Vector low_pairs(Vector a, Vector b) {
  return _mm512_unpacklo_ps(a, b);
}
DEEPLIGHT_ALWAYS_INLINE Vector high_pairs(Vector a, Vector b) {
  return _mm512_unpackhi_ps(a, b);
}
DEEPLIGHT_ALWAYS_INLINE Vector low_halves(Vector a, Vector b) {
  return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
DEEPLIGHT_ALWAYS_INLINE Vector high_halves(Vector a, Vector b) {
  return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
DEEPLIGHT_ALWAYS_INLINE void store(float* to, Vector a) {
  _mm512_storeu_ps(to, a);
}
#elif defined(__AVX__)
using Vector = __m256;
DEEPLIGHT_ALWAYS_INLINE Vector four_rows(const float* from, std::int64_t row) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from)),
                              _mm_loadu_ps(from + 4 * row), 1);
}
DEEPLIGHT_ALWAYS_INLINE Vector low_pairs(Vector a, Vector b) {
  return _mm256_unpacklo_ps(a, b);
}
DEEPLIGHT_ALWAYS_INLINE Vector high_pairs(Vector a, Vector b) {
  return _mm256_unpackhi_ps(a, b);
}
DEEPLIGHT_ALWAYS_INLINE Vector low_halves(Vector a, Vector b) {
  return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}
DEEPLIGHT_ALWAYS_INLINE Vector high_halves(Vector a, Vector b) {
  return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}
DEEPLIGHT_ALWAYS_INLINE void store(float* to, Vector a) {
  _mm256_storeu_ps(to, a);
}
#else
using Vector = __m128;
DEEPLIGHT_ALWAYS_INLINE Vector four_rows(const float* from, std::int64_t) {
  return _mm_loadu_ps(from);
}
DEEPLIGHT_ALWAYS_INLINE Vector low_pairs(Vector a, Vector b) {
  return _mm_unpacklo_ps(a, b);
}
DEEPLIGHT_ALWAYS_INLINE Vector high_pairs(Vector a, Vector b) {
  return _mm_unpackhi_ps(a, b);
}
DEEPLIGHT_ALWAYS_INLINE Vector low_halves(Vector a, Vector b) {
  return _mm_movelh_ps(a, b);
}
DEEPLIGHT_ALWAYS_INLINE Vector high_halves(Vector a, Vector b) {
  return _mm_movehl_ps(b, a);
}
DEEPLIGHT_ALWAYS_INLINE void store(float* to, Vector a) {
  _mm_storeu_ps(to, a);
}
#endif

DEEPLIGHT_ALWAYS_INLINE void put(float* to, Vector a, [[maybe_unused]] bool streamed) {
#if defined(__AVX512F__)
  if (streamed) return _mm512_stream_ps(to, a);
#endif
  store(to, a);
}

/// A whole block of floats: whole lines of the cache on either side where they are 64 bytes.
DEEPLIGHT_ALWAYS_INLINE void whole_block(const float* from, std::int64_t from_row, float* to,
                                         std::int64_t to_row, bool streamed) {
  for (std::int64_t j = 0; j < side; j += 4) {
    const Vector a = four_rows(from + j, from_row);
    const Vector b = four_rows(from + from_row + j, from_row);
    const Vector c = four_rows(from + 2 * from_row + j, from_row);
    const Vector d = four_rows(from + 3 * from_row + j, from_row);
    const Vector low_ab = low_pairs(a, b), low_cd = low_pairs(c, d);
    const Vector high_ab = high_pairs(a, b), high_cd = high_pairs(c, d);
    put(to + j * to_row, low_halves(low_ab, low_cd), streamed);
    put(to + (j + 1) * to_row, high_halves(low_ab, low_cd), streamed);
    put(to + (j + 2) * to_row, low_halves(high_ab, high_cd), streamed);
    put(to + (j + 3) * to_row, high_halves(high_ab, high_cd), streamed);
  }
}

#endif

/// At most four rows and columns.
template <class T>
DEEPLIGHT_ALWAYS_INLINE void small_block(const T* from, std::int64_t from_row, T* to,
                                         std::int64_t to_row, std::int64_t rows,
                                         std::int64_t columns) {
#if defined(__SSE__)
  if constexpr (std::is_same_v<T, float>) {
    if (rows >= 4 && columns >= 4) {
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
  for (std::int64_t i = 0; i < (rows < 4 ? rows : 4); ++i)
    for (std::int64_t j = 0; j < (columns < 4 ? columns : 4); ++j)
      to[j * to_row + i] = from[i * from_row + j];
}

/// At most `side` rows and columns.
template <class T>
DEEPLIGHT_ALWAYS_INLINE void block(const T* from, std::int64_t from_row, T* to, std::int64_t to_row,
                                   std::int64_t rows, std::int64_t columns,
                                   [[maybe_unused]] bool streamed) {
#if defined(__SSE__)
  if constexpr (std::is_same_v<T, float>)
    if (rows >= side && columns >= side) return whole_block(from, from_row, to, to_row, streamed);
#endif
  for (std::int64_t i = 0; i < (rows < side ? rows : side); i += 4)
    for (std::int64_t j = 0; j < (columns < side ? columns : side); j += 4)
      small_block(from + i * from_row + j, from_row, to + j * to_row + i, to_row, rows - i,
                  columns - j);
}

}  // namespace transpose_detail

/// `rows` x `columns` numbers of `from`; row strides count elements. The ranges must not overlap.
/// `far_from` says that the rows of `from` lie far apart, else those of `to`: that side is walked
/// along its rows, because rows whose distance is a power of two share a few lines of the cache.
/// `stream` writes whole lines around the cache, where the machine can and `to` lies so: for
/// results that are larger than it. They are in memory after `streamed_lines_written`.
template <class T>
void transpose(const T* DEEPLIGHT_RESTRICT from, std::int64_t from_row, T* DEEPLIGHT_RESTRICT to,
               std::int64_t to_row, std::int64_t rows, std::int64_t columns, bool far_from,
               bool stream = false) {
  const bool streamed =
      stream && reinterpret_cast<std::uintptr_t>(to) % 64 == 0 && to_row % 16 == 0;
  using namespace transpose_detail;
  if (far_from) {
    for (std::int64_t i = 0; i < rows; i += side)
      for (std::int64_t j = 0; j < columns; j += side)
        block(from + i * from_row + j, from_row, to + j * to_row + i, to_row, rows - i, columns - j,
              streamed);
  } else {
    for (std::int64_t j = 0; j < columns; j += side)
      for (std::int64_t i = 0; i < rows; i += side)
        block(from + i * from_row + j, from_row, to + j * to_row + i, to_row, rows - i, columns - j,
              streamed);
  }
}

inline void streamed_lines_written() {
#if defined(__SSE__)
  _mm_sfence();
#endif
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
