// The kernels' parallel loop over PyTorch's threads: torch.set_num_threads rules.
#pragma once

#include <ATen/Parallel.h>

#include "deeplight/core/parallel.hpp"
#include "deeplight/core/thread_loop.hpp"

namespace deeplight::functional {

inline ParallelFor torch_parallel() {
  return {[](std::int64_t begin, std::int64_t end, ParallelFor::Body body, const void* context) {
    const auto run = [&](std::int64_t first, std::int64_t last) { body(context, first, last); };
#ifdef INTRA_OP_PARALLEL
    at::parallel_for(begin, end, 1, run);
#else
    // Compiled without OpenMP, as PyTorch's extensions are: at::parallel_for would not be parallel.
    thread_loop(at::in_parallel_region() ? 1 : at::get_num_threads(), begin, end, run);
#endif
  }};
}

}  // namespace deeplight::functional
