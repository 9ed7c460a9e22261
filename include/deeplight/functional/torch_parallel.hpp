// Parallel loops on PyTorch's own threads: torch.set_num_threads rules.
#pragma once

#include <cstdint>

#include "deeplight/core/config.hpp"
#include "deeplight/core/parallel.hpp"

namespace deeplight::functional {

namespace detail {

/// PyTorch's threads that a loop begun here may use: one inside of another parallel loop.
std::int64_t threads_at_hand();

/// As ParallelFor asks for it, one item a thread.
void run_on_torch_threads(std::int64_t begin, std::int64_t end, ParallelFor::Body body,
                          const void* context);

}  // namespace detail

/// body(first, last) on contiguous parts of [begin, end) of `grain` items or more, one a thread;
/// returns when all are done. An exception of a part is thrown again here.
template <class Body>
void torch_parallel_for(std::int64_t begin, std::int64_t end, std::int64_t grain,
                        const Body& body) {
  if (begin >= end) return;
  const std::int64_t most = (end - begin + grain - 1) / grain;
  const std::int64_t threads = detail::threads_at_hand(), parts = most < threads ? most : threads;
  if (parts == 1) return body(begin, end);
  const ParallelFor on_threads{&detail::run_on_torch_threads};
  on_threads(0, parts, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t part = first; part < last; ++part)
      body(begin + (end - begin) * part / parts, begin + (end - begin) * (part + 1) / parts);
  });
}

/// The same for kernels, one item at a time.
inline ParallelFor torch_parallel() {
  return {[](std::int64_t begin, std::int64_t end, ParallelFor::Body body, const void* context) {
    torch_parallel_for(begin, end, 1,
                       [&](std::int64_t first, std::int64_t last) { body(context, first, last); });
  }};
}

}  // namespace deeplight::functional

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/torch_parallel_inl.hpp"
#endif
