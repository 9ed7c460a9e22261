// Launches of our CUDA kernels, between x_kernel.cu, which knows no PyTorch, and x_cuda.hpp, which
// knows no CUDA: pointers, sizes, a stream. Neither compiles the other's headers.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>

namespace deeplight::cuda {

/// What the pointers of a launch point to.
enum class Type { float32, float64, float16, bfloat16 };

/// Threads of a block that walks through its work in steps of the grid.
inline constexpr int block_threads = 256;

/// Shared memory that every device gives to a block unasked.
inline constexpr std::int64_t shared_memory = 49152;

inline unsigned grid_of(std::int64_t work, std::int64_t per_block = block_threads) {
  const std::int64_t blocks = (work + per_block - 1) / per_block;
  return static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, 1 << 20));
}

}  // namespace deeplight::cuda
