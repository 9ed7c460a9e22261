// Fresh tensors for results, on large pages where they are large: see core/large_pages.hpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deeplight/core/large_pages.hpp"
#include "deeplight/functional/torch_parallel.hpp"

namespace deeplight::functional::detail {

/// The same tensor. For one on the CPU that was just made and is about to be written whole.
///
/// Where several threads will write it, each large page is touched by one of them before: rows of
/// many planes lie in one page, which two threads that meet there would both clear.
inline at::Tensor on_large_pages(at::Tensor fresh) {
  if (!fresh.device().is_cpu()) return fresh;
  void* const data = fresh.mutable_data_ptr();
  prefer_large_pages(data, fresh.nbytes());
  const LargePages pages = large_pages_of(reinterpret_cast<std::uintptr_t>(data),
                                          static_cast<std::size_t>(fresh.nbytes()));
  const auto count = static_cast<std::int64_t>(pages.bytes / large_page);
  if (count < 2 || threads_at_hand() < 2) return fresh;
  torch_parallel_for(0, count, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t page = first; page < last; ++page)
      *reinterpret_cast<volatile char*>(pages.begin + static_cast<std::size_t>(page) * large_page) =
          0;
  });
  return fresh;
}

}  // namespace deeplight::functional::detail
