// What a prediction sets for its duration: evaluation mode, threads, GDAL's cache, allocations.
#pragma once

#include <ATen/Parallel.h>
#include <cpl_conv.h>
#include <gdal.h>

#include <cstdint>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "deeplight/infer/tensor_pool.hpp"
#include "deeplight/models/network.hpp"

namespace deeplight::detail {

/// Evaluation mode for a while.
class EvaluationMode {
 public:
  explicit EvaluationMode(Network& network)
      : network_(network), was_training_(network.is_training()) {
    if (was_training_) network_.eval();
  }
  ~EvaluationMode() {
    if (was_training_) network_.train();
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  Network& network_;
  bool was_training_;
};

/// PyTorch's number of threads for a while.
class ThreadScope {
 public:
  explicit ThreadScope(std::int64_t threads) : was_(at::get_num_threads()) {
    if (threads > 0) at::set_num_threads(static_cast<int>(threads));
  }
  ~ThreadScope() {
    if (at::get_num_threads() != was_) at::set_num_threads(was_);
  }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int was_;
};

#if defined(__linux__)
extern "C" void omp_set_num_threads(int threads) __attribute__((weak));
#endif

/// From here on PyTorch's loops in this thread run on it alone. A second team of OpenMP's threads
/// would share the cores with the network's own: more threads than cores, and all of them sleep and
/// wake where they would have spun for a moment.
inline void work_alone() {
  (void)at::get_num_threads();  // sets this thread up, once
#if defined(__linux__)
  if (omp_set_num_threads != nullptr) omp_set_num_threads(1);
#endif
}

/// GDAL's cache of blocks would grow to a twentieth of the machine's memory; tiles are read once,
/// their halos a few times. A GDAL_CACHEMAX of the user stands.
class GdalCacheScope {
 public:
  GdalCacheScope() : was_(GDALGetCacheMax64()) {
    constexpr GIntBig enough = GIntBig{64} << 20;
    limited_ = CPLGetConfigOption("GDAL_CACHEMAX", nullptr) == nullptr && was_ > enough;
    if (limited_) GDALSetCacheMax64(enough);
  }
  ~GdalCacheScope() {
    if (limited_) GDALSetCacheMax64(was_);
  }
  GdalCacheScope(const GdalCacheScope&) = delete;
  GdalCacheScope& operator=(const GdalCacheScope&) = delete;

 private:
  GIntBig was_;
  bool limited_;
};

/// glibc reuses a freed block for one of the same size and a wider alignment, such as PyTorch asks
/// for, only by chance (bug 14581, until 2.38): with every tile the heap would grow by some tens of
/// megabytes. Blocks of at least 2 MiB are taken from the system and given back instead; those of
/// tensors come from a pool. Whoever sets one of these limits sets both: the other one would stay
/// at 128 KiB, and the heap's end go back to the system with nearly every block, to be cleared
/// anew.
class AllocationScope {
 public:
  AllocationScope() {
#if defined(__GLIBC__)
    malloc_trim(0);
    mallopt(M_MMAP_THRESHOLD, 2 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
  }
  ~AllocationScope() {
#if defined(__GLIBC__)
    // Where the allocator's own rule ends in a process that frees large blocks.
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
  }
  AllocationScope(const AllocationScope&) = delete;
  AllocationScope& operator=(const AllocationScope&) = delete;

 private:
  const TensorPool::Scope tensors_;
};

}  // namespace deeplight::detail
