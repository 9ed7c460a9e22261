// Large results on large pages: the first touch of fresh memory is what they cost most.
//
// A result of 32 MiB is 8,192 pages of 4 KiB, and the system clears and maps each of them when it
// is first written: several times as long as writing it. On pages of 2 MiB that is a sixth of the
// time. Where the system gives them to whoever asks ("madvise", the usual setting), this asks.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace deeplight {

inline constexpr std::size_t large_page = std::size_t{2} << 20;

/// The whole large pages of [address, address + bytes): where the first starts, and their bytes.
struct LargePages {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
};

inline LargePages large_pages_of(std::uintptr_t address, std::size_t bytes) {
  const std::uintptr_t begin = (address + large_page - 1) / large_page * large_page;
  const std::uintptr_t end = (address + bytes) / large_page * large_page;
  return {begin, begin < end ? end - begin : 0};
}

/// Asks for large pages under fresh memory that is about to be written whole. A hint: contents,
/// ownership and errno stay as they are, and a system without large pages ignores it.
inline void prefer_large_pages(void* data, std::size_t bytes) noexcept {
#if defined(MADV_HUGEPAGE)
  // Below twice a page there may be no whole one, and the call is not worth its time.
  if (!data || bytes < 2 * large_page) return;
  const LargePages pages = large_pages_of(reinterpret_cast<std::uintptr_t>(data), bytes);
  const int kept = errno;
  if (pages.bytes > 0) ::madvise(reinterpret_cast<void*>(pages.begin), pages.bytes, MADV_HUGEPAGE);
  errno = kept;
#else
  static_cast<void>(data), static_cast<void>(bytes);
#endif
}

}  // namespace deeplight
