// The kernels' parallel loop over PyTorch's threads: torch.set_num_threads rules.
#pragma once

#include <ATen/Parallel.h>

#include "deeplight/core/parallel.hpp"

namespace deeplight::functional {

inline ParallelFor torch_parallel() {
  return {[](std::int64_t begin, std::int64_t end, ParallelFor::Body body, const void* context) {
    at::parallel_for(begin, end, 1, [&](std::int64_t first, std::int64_t last) {
      body(context, first, last);
    });
  }};
}

}  // namespace deeplight::functional
