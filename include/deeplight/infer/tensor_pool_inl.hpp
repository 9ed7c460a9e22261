// Definitions of tensor_pool.hpp.
#pragma once

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <new>

#include "deeplight/core/large_pages.hpp"
#include "deeplight/infer/tensor_pool.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace deeplight::detail {

#if defined(__linux__)

inline void unmap(void* block, std::size_t size) {
  ::munmap(block, size);
}

/// Fresh memory that starts on a large page; null where there is none.
inline void* map(std::size_t size) {
  const std::size_t wide = size + large_page;
  void* const got =
      ::mmap(nullptr, wide, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (got == MAP_FAILED) return nullptr;
  auto* const first = static_cast<std::byte*>(got);
  const auto address = reinterpret_cast<std::uintptr_t>(first);
  const std::size_t before = (large_page - address % large_page) % large_page;
  if (before > 0) unmap(first, before);
  unmap(first + before + size, wide - before - size);
  prefer_large_pages(first + before, size);
  return first + before;
}

#endif

DEEPLIGHT_INLINE TensorPool& TensorPool::the_one() {
  static auto* const pool = new TensorPool(c10::GetDefaultCPUAllocator());
  return *pool;
}

DEEPLIGHT_INLINE c10::DataPtr TensorPool::allocate(std::size_t bytes) {
#if defined(__linux__)
  constexpr std::size_t page = 4096;
  if (bytes >= large_page) {
    void* const block = take((bytes + page - 1) / page * page);
    return {block, block, &give_back_to_the_one, c10::Device(c10::DeviceType::CPU)};
  }
#endif
  return small_->allocate(bytes);
}

DEEPLIGHT_INLINE TensorPool::Counts TensorPool::counts() {
  const std::lock_guard lock(mutex_);
  return counts_;
}

#if defined(__linux__)

DEEPLIGHT_INLINE void* TensorPool::take(std::size_t size) {
  const std::lock_guard lock(mutex_);
  ++counts_.asked;
  void* block = nullptr;
  const auto fits = waiting_.lower_bound(size);
  if (fits != waiting_.end() && fits->first <= size + size / 8) {
    size = fits->first;
    block = fits->second.block;
    waiting_.erase(fits);
    counts_.waiting -= size;
  } else {
    while (!waiting_.empty() && counts_.used + counts_.waiting + size > counts_.most_used) {
      drop_oldest();
    }
    while ((block = map(size)) == nullptr && !waiting_.empty()) drop_oldest();
    if (block == nullptr) throw std::bad_alloc();
    ++counts_.fetched;
  }
  used_.emplace(block, size);
  counts_.used += size;
  counts_.most_used = std::max(counts_.most_used, counts_.used);
  return block;
}

DEEPLIGHT_INLINE void TensorPool::give_back(void* block) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = used_.find(block);
    if (found != used_.end()) {
      const std::size_t size = found->second;
      used_.erase(found);
      counts_.used -= size;
      if (scopes_ == 0) {
        unmap(block, size);
      } else {
        waiting_.emplace(size, Waiting{block, clock_++});
        counts_.waiting += size;
      }
      return;
    }
  }
  small_->raw_deleter()(block);
}

DEEPLIGHT_INLINE void TensorPool::drop_oldest() {
  const auto oldest = std::min_element(
      waiting_.begin(), waiting_.end(),
      [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
  unmap(oldest->second.block, oldest->first);
  counts_.waiting -= oldest->first;
  waiting_.erase(oldest);
}

DEEPLIGHT_INLINE void TensorPool::enter() {
  const std::lock_guard lock(mutex_);
  // Another allocator than PyTorch's own was chosen on purpose.
  if (scopes_++ == 0 && c10::GetCPUAllocator() == small_) c10::SetCPUAllocator(this);
}

DEEPLIGHT_INLINE void TensorPool::leave() {
  const std::lock_guard lock(mutex_);
  if (--scopes_ > 0) return;
  if (c10::GetCPUAllocator() == this) c10::SetCPUAllocator(small_);
  while (!waiting_.empty()) drop_oldest();
  counts_.most_used = counts_.used;
}

#else

DEEPLIGHT_INLINE void TensorPool::give_back(void* block) {
  small_->raw_deleter()(block);
}
DEEPLIGHT_INLINE void TensorPool::enter() {}
DEEPLIGHT_INLINE void TensorPool::leave() {}

#endif

DEEPLIGHT_INLINE TensorPool::Scope::Scope() {
  the_one().enter();
}
DEEPLIGHT_INLINE TensorPool::Scope::~Scope() {
  the_one().leave();
}

}  // namespace deeplight::detail
