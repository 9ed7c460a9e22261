// SHA-256 with the instructions that x86 processors have for it, chosen when the program runs.
//
// Predictions hash their weights and inputs: plain code takes 5 ms for each MB, these 0.6.
// Source: Intel, "New Instructions Supporting the Secure Hash Algorithm on Intel Architecture
// Processors", 2013: the state as two registers ABEF and CDGH, four rounds a step.
#pragma once

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define DEEPLIGHT_SHA256_X86

#include <cpuid.h>
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace deeplight::detail {

inline bool has_sha256_instructions() {
  static const bool there = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned ssse3 = 1U << 9, sse41 = 1U << 19, sha = 1U << 29;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & ssse3) == 0 || (c & sse41) == 0) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & sha) != 0;
  }();
  return there;
}

/// Takes `blocks` blocks of 64 bytes into the state; only where `has_sha256_instructions()`.
__attribute__((target("sha,ssse3,sse4.1"))) inline void sha256_blocks_x86(
    std::uint32_t* state, const std::byte* data, std::size_t blocks,
    const std::uint32_t* constants) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  auto* const words = reinterpret_cast<__m128i*>(state);
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xB1);
  const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1B);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
  for (; blocks > 0; --blocks, data += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];  // the last sixteen words of the schedule
#pragma GCC unroll 16
    for (int step = 0; step < 16; ++step) {
      __m128i& next = w[step % 4];
      if (step < 4) {
        const auto* const from = reinterpret_cast<const __m128i*>(data + 16 * step);
        next = _mm_shuffle_epi8(_mm_loadu_si128(from), big_endian);
      } else {
        const __m128i &last = w[(step + 3) % 4], &before = w[(step + 2) % 4];
        next = _mm_sha256msg1_epu32(next, w[(step + 1) % 4]);
        next = _mm_add_epi32(next, _mm_alignr_epi8(last, before, 4));
        next = _mm_sha256msg2_epu32(next, last);
      }
      const __m128i sum = _mm_add_epi32(
          next, _mm_loadu_si128(reinterpret_cast<const __m128i*>(constants + 4 * step)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

}  // namespace deeplight::detail

#endif
