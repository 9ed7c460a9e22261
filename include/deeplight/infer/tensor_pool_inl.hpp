// Definitions of tensor_pool.hpp.
#pragma once

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <iterator>
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
inline std::byte* map(std::size_t size) {
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

/// Adds a block to what waits, joined with what waits beside it.
DEEPLIGHT_INLINE void TensorPool::keep(std::byte* block, Waiting state) {
  counts_.waiting += state.size;
  const auto join = [&](std::byte* other) {
    const Waiting more = release(other);
    counts_.waiting += more.size;
    block = std::min(block, other);
    state = {state.size + more.size, std::max(state.since, more.since)};
  };
  if (const auto after = waiting_.find(block + state.size); after != waiting_.end()) {
    join(after->first);
  }
  const auto next = waiting_.lower_bound(block);
  if (next != waiting_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second.size == block) join(before->first);
  }
  try {
    waiting_.emplace(block, state);
    by_size_.emplace(state.size, block);
  } catch (const std::bad_alloc&) {  // the end of a tensor must not fail for lack of memory
    waiting_.erase(block);
    counts_.waiting -= state.size;
    unmap(block, state.size);
  }
}

DEEPLIGHT_INLINE TensorPool::Waiting TensorPool::release(std::byte* block) {
  const auto found = waiting_.find(block);
  const Waiting state = found->second;
  waiting_.erase(found);
  by_size_.erase({state.size, block});
  counts_.waiting -= state.size;
  return state;
}

DEEPLIGHT_INLINE void* TensorPool::take(std::size_t size) {
  const std::lock_guard lock(mutex_);
  ++counts_.asked;
  std::byte* block = nullptr;
  const auto fits = by_size_.lower_bound({size, nullptr});
  if (fits != by_size_.end()) {
    block = fits->second;
    const Waiting state = release(block);
    if (state.size > size) keep(block + size, {state.size - size, state.since});
  } else {
    const std::size_t held = counts_.used + counts_.waiting + size;
    if (held > counts_.most_used) drop(held - counts_.most_used);
    while ((block = map(size)) == nullptr && !waiting_.empty()) drop(size);
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
        keep(static_cast<std::byte*>(block), {size, clock_++});
      }
      return;
    }
  }
  small_->raw_deleter()(block);
}

/// Gives back so many bytes, those that wait longest first; all where less waits.
DEEPLIGHT_INLINE void TensorPool::drop(std::size_t bytes) {
  while (bytes > 0 && !waiting_.empty()) {
    const auto oldest = std::min_element(
        waiting_.begin(), waiting_.end(),
        [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
    std::byte* const block = oldest->first;
    const Waiting state = release(block);
    const std::size_t some = std::min(bytes, state.size);
    unmap(block + state.size - some, some);
    if (some < state.size) keep(block, {state.size - some, state.since});
    bytes -= some;
  }
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
  drop(counts_.waiting);
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
