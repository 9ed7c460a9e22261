// Stores of results that are larger than what the next reader finds in a core's cache.
//
// A plain store first fetches the line that it overwrites. A streamed one sends whole lines to the
// memory: half the traffic, and nothing else is driven out of the cache. Without torch.
#pragma once

#include <cstdint>

#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {
inline namespace DEEPLIGHT_SIMD_TAG {

/// Results from here on are streamed: with the time of one who reads them next, that pays from
/// 4 MiB on.
inline constexpr std::int64_t streamed_bytes = std::int64_t{4} << 20;

#if defined(__AVX512F__)
inline constexpr std::int64_t streamed_line = 64;
DEEPLIGHT_ALWAYS_INLINE void stream_line(void* to, const void* from) {
  _mm512_stream_si512(static_cast<__m512i*>(to), _mm512_loadu_si512(from));
}
#elif defined(__AVX__)
inline constexpr std::int64_t streamed_line = 32;
DEEPLIGHT_ALWAYS_INLINE void stream_line(void* to, const void* from) {
  _mm256_stream_si256(static_cast<__m256i*>(to),
                      _mm256_loadu_si256(static_cast<const __m256i*>(from)));
}
#elif defined(__SSE2__)
inline constexpr std::int64_t streamed_line = 16;
DEEPLIGHT_ALWAYS_INLINE void stream_line(void* to, const void* from) {
  _mm_stream_si128(static_cast<__m128i*>(to), _mm_loadu_si128(static_cast<const __m128i*>(from)));
}
#else
inline constexpr std::int64_t streamed_line = 0;
DEEPLIGHT_ALWAYS_INLINE void stream_line(void*, const void*) {}
#endif

/// Copies `count` numbers past the cache, if whole lines of `to` allow it; else does nothing. They
/// are in memory after `streamed_lines_written` (transpose_cpu.hpp).
template <class T>
bool copy_streamed(const T* from, T* to, std::int64_t count) {
  if constexpr (streamed_line == 0) {
    return false;
  } else {
    const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(T));
    if (reinterpret_cast<std::uintptr_t>(to) % streamed_line != 0 || bytes % streamed_line != 0)
      return false;
    const auto* source = reinterpret_cast<const char*>(from);
    auto* target = reinterpret_cast<char*>(to);
    for (std::int64_t i = 0; i < bytes; i += streamed_line) stream_line(target + i, source + i);
    return true;
  }
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
