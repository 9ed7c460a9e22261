// Parallel loops over as many threads as PyTorch has: torch.set_num_threads rules.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

#include "deeplight/core/parallel.hpp"
#include "deeplight/core/thread_loop.hpp"

namespace deeplight::functional {

/// body(first, last) on parts of [begin, end) of `grain` items or more.
template <class Body>
void torch_parallel_for(std::int64_t begin, std::int64_t end, std::int64_t grain,
                        const Body& body) {
#ifdef INTRA_OP_PARALLEL
  at::parallel_for(begin, end, grain, body);
#else
  // Compiled without OpenMP, as PyTorch's extensions are: at::parallel_for would not be parallel.
  const std::int64_t most = (end - begin + grain - 1) / grain;
  const std::int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  thread_loop(std::min(threads, most), begin, end, body);
#endif
}

/// The same for kernels, one item at a time.
inline ParallelFor torch_parallel() {
  return {[](std::int64_t begin, std::int64_t end, ParallelFor::Body body, const void* context) {
    torch_parallel_for(begin, end, 1,
                       [&](std::int64_t first, std::int64_t last) { body(context, first, last); });
  }};
}

}  // namespace deeplight::functional
