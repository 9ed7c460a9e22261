// Launches of our CUDA kernels: what they have in common.
#pragma once

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>
#include <cstdint>

namespace deeplight::functional {

/// Threads of a block that walks through its work in steps of the grid.
inline constexpr int cuda_threads = 256;

/// Shared memory that every device gives to a block unasked.
inline constexpr std::int64_t cuda_shared_memory = 48 * 1024;

inline unsigned cuda_blocks(std::int64_t work, std::int64_t per_block = cuda_threads) {
  const std::int64_t blocks = (work + per_block - 1) / per_block;
  return static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, 1 << 20));
}

}  // namespace deeplight::functional
