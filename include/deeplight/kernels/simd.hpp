// Portable SIMD for the kernels: the one header that includes xsimd.
//
// Kernels are templates on an architecture tag `Arch`: `simd::Native` (what the including program
// is compiled for) or `simd::Scalar` (plain loops, one lane). They stand inside
//
//     namespace deeplight::kernels { inline namespace DEEPLIGHT_SIMD_TAG { ... } }
//
// which carries the instruction set of the translation unit in the name of everything it holds: an
// inline function that two sources compile with different instruction sets under one name would be
// merged by the linker, and the program would end in SIGILL on the older machine. Structures that
// cross between such sources (sizes, pointers, tables of functions) stand outside of it.
// Run-time choice is the business of deeplight::ops: see bindings/torch/simd_levels.hpp.
#pragma once

#include <xsimd/xsimd.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define DEEPLIGHT_SIMD_TAG built_for_avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define DEEPLIGHT_SIMD_TAG built_for_avx2
#elif defined(__AVX__)
#define DEEPLIGHT_SIMD_TAG built_for_avx
#elif defined(__SSE4_2__)
#define DEEPLIGHT_SIMD_TAG built_for_sse4
#else
#define DEEPLIGHT_SIMD_TAG built_for_baseline
#endif

#if defined(_MSC_VER)
#define DEEPLIGHT_ALWAYS_INLINE __forceinline
#define DEEPLIGHT_RESTRICT __restrict
#else
#define DEEPLIGHT_ALWAYS_INLINE inline __attribute__((always_inline))
#define DEEPLIGHT_RESTRICT __restrict__
#endif

// A hint; any address will do.
#if defined(__GNUC__)
#define DEEPLIGHT_PREFETCH(address) __builtin_prefetch(address)
#else
#define DEEPLIGHT_PREFETCH(address) static_cast<void>(address)
#endif

namespace deeplight::kernels {
inline namespace DEEPLIGHT_SIMD_TAG {
namespace simd {

/// One lane and no instructions of its own: the fallback, and the oracle of the others.
struct Scalar {};

/// The widest instruction set that this translation unit is compiled for.
using Native = std::conditional_t<xsimd::default_arch::supported() &&
                                      !std::is_same_v<xsimd::default_arch, xsimd::unavailable>,
                                  xsimd::default_arch, Scalar>;

/// Vector registers that a kernel may count on.
template <class Arch>
inline constexpr int registers = 16;
template <>
inline constexpr int registers<xsimd::avx512f> = 32;
template <>
inline constexpr int registers<xsimd::avx512cd> = 32;
template <>
inline constexpr int registers<xsimd::avx512dq> = 32;
template <>
inline constexpr int registers<xsimd::avx512bw> = 32;

/// `width` numbers of type T (float, double) in one register. Addresses need no alignment.
template <class T, class Arch>
struct Pack {
  using Batch = xsimd::batch<T, Arch>;
  static constexpr std::int64_t width = static_cast<std::int64_t>(Batch::size);
  Batch value;

  static DEEPLIGHT_ALWAYS_INLINE Pack load(const T* p) { return {Batch::load_unaligned(p)}; }
  static DEEPLIGHT_ALWAYS_INLINE Pack all(T x) { return {Batch(x)}; }
  static DEEPLIGHT_ALWAYS_INLINE Pack zero() { return all(T(0)); }
  DEEPLIGHT_ALWAYS_INLINE void store(T* p) const { value.store_unaligned(p); }

  friend DEEPLIGHT_ALWAYS_INLINE Pack operator+(Pack a, Pack b) { return {a.value + b.value}; }
  friend DEEPLIGHT_ALWAYS_INLINE Pack operator-(Pack a, Pack b) { return {a.value - b.value}; }
  friend DEEPLIGHT_ALWAYS_INLINE Pack operator*(Pack a, Pack b) { return {a.value * b.value}; }
  friend DEEPLIGHT_ALWAYS_INLINE Pack max(Pack a, Pack b) { return {xsimd::max(a.value, b.value)}; }
  friend DEEPLIGHT_ALWAYS_INLINE Pack min(Pack a, Pack b) { return {xsimd::min(a.value, b.value)}; }

  /// a * b + c; one rounding where the machine has the instruction.
  friend DEEPLIGHT_ALWAYS_INLINE Pack fma(Pack a, Pack b, Pack c) {
#if defined(__AVX512F__)
    // xsimd 8 has no fused form for AVX-512.
    if constexpr (std::is_base_of_v<xsimd::avx512f, Arch>) {
      if constexpr (std::is_same_v<T, float>)
        return {Batch(_mm512_fmadd_ps(a.value, b.value, c.value))};
      else
        return {Batch(_mm512_fmadd_pd(a.value, b.value, c.value))};
    } else {
      return {xsimd::fma(a.value, b.value, c.value)};
    }
#else
    return {xsimd::fma(a.value, b.value, c.value)};
#endif
  }

  /// The sum of the lanes, in a fixed order.
  DEEPLIGHT_ALWAYS_INLINE T sum() const {
#if XSIMD_VERSION_MAJOR >= 9
    return xsimd::reduce_add(value);
#else
    return xsimd::hadd(value);
#endif
  }

  /// Lane i of the result is the sum of rows[i * width ... i * width + width - 1], i < width.
  static DEEPLIGHT_ALWAYS_INLINE Pack sums_of(const T* rows) {
#if defined(__AVX512F__)
    // xsimd 8 returns the lanes of this in another order for AVX-512.
    if constexpr (std::is_base_of_v<xsimd::avx512f, Arch> && std::is_same_v<T, float>)
      return {Batch(_mm512_insertf32x8(_mm512_castps256_ps512(eight_sums(rows)),
                                       eight_sums(rows + 8 * width), 1))};
#endif
    Batch parts[width];
    for (std::int64_t i = 0; i < width; ++i) parts[i] = Batch::load_unaligned(rows + i * width);
    return {xsimd::haddp(parts)};
  }

#if defined(__AVX512F__)
 private:
  static DEEPLIGHT_ALWAYS_INLINE __m256 half_sum(const float* row) {
    return _mm256_add_ps(_mm256_loadu_ps(row), _mm256_loadu_ps(row + 8));
  }
  static DEEPLIGHT_ALWAYS_INLINE __m256 four_sums(const float* rows) {
    return _mm256_hadd_ps(_mm256_hadd_ps(half_sum(rows), half_sum(rows + 16)),
                          _mm256_hadd_ps(half_sum(rows + 32), half_sum(rows + 48)));
  }
  static DEEPLIGHT_ALWAYS_INLINE __m256 eight_sums(const float* rows) {
    const __m256 first = four_sums(rows), second = four_sums(rows + 64);
    return _mm256_add_ps(_mm256_permute2f128_ps(first, second, 0x20),
                         _mm256_permute2f128_ps(first, second, 0x31));
  }
#endif
};

template <class T>
struct Pack<T, Scalar> {
  static constexpr std::int64_t width = 1;
  T value;

  static DEEPLIGHT_ALWAYS_INLINE Pack load(const T* p) { return {*p}; }
  static DEEPLIGHT_ALWAYS_INLINE Pack all(T x) { return {x}; }
  static DEEPLIGHT_ALWAYS_INLINE Pack zero() { return {T(0)}; }
  DEEPLIGHT_ALWAYS_INLINE void store(T* p) const { *p = value; }

  friend DEEPLIGHT_ALWAYS_INLINE Pack operator+(Pack a, Pack b) { return {a.value + b.value}; }
  friend DEEPLIGHT_ALWAYS_INLINE Pack operator-(Pack a, Pack b) { return {a.value - b.value}; }
  friend DEEPLIGHT_ALWAYS_INLINE Pack operator*(Pack a, Pack b) { return {a.value * b.value}; }
  friend DEEPLIGHT_ALWAYS_INLINE Pack max(Pack a, Pack b) {
    return {a.value > b.value ? a.value : b.value};
  }
  friend DEEPLIGHT_ALWAYS_INLINE Pack min(Pack a, Pack b) {
    return {a.value < b.value ? a.value : b.value};
  }
  friend DEEPLIGHT_ALWAYS_INLINE Pack fma(Pack a, Pack b, Pack c) {
    return {a.value * b.value + c.value};
  }
  DEEPLIGHT_ALWAYS_INLINE T sum() const { return value; }
  static DEEPLIGHT_ALWAYS_INLINE Pack sums_of(const T* rows) { return {*rows}; }
};

}  // namespace simd
}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
