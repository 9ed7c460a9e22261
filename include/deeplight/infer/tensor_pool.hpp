// Memory of large tensors while predictions run: freed blocks wait for the next tile.
//
// A tile's tensors are those of the tile before, of the same sizes in the same order. Given back to
// the system and fetched again, each of their pages is cleared anew: a third of the time of a
// network on the CPU. Kept by the heap, the process would grow with each tile (see
// AllocationScope).
#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "deeplight/core/config.hpp"

namespace deeplight::detail {

/// Hands out blocks of at least 2 MiB; smaller ones are PyTorch's own.
///
/// What waits is cut to what is asked for, and neighbours that wait are joined: tiles at a raster's
/// edge have other sizes than those inside, and a network's own tensors differ more.
///
/// What is in use and what waits is together never more than what was in use at once before: it
/// costs time to keep it so, but the peak is that of an allocator that keeps nothing.
class TensorPool final : public c10::Allocator {
 public:
  struct Counts {
    std::uint64_t asked = 0;    ///< large blocks handed out
    std::uint64_t fetched = 0;  ///< of them, from the system
    std::size_t used = 0;       ///< bytes
    std::size_t waiting = 0;    ///< bytes
    std::size_t most_used = 0;  ///< bytes at once, since nobody used the pool
  };

  explicit TensorPool(c10::Allocator* small) : small_(small) {}

  c10::DataPtr allocate(std::size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override { return &give_back_to_the_one; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  Counts counts();

  /// PyTorch's allocator for the CPU, from the first scope to the end of the last.
  class Scope {
   public:
    Scope();
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
  };

  /// The one that scopes use. It outlives every tensor.
  static TensorPool& the_one();

 private:
  struct Waiting {
    std::size_t size;
    std::uint64_t since;
  };

  static void give_back_to_the_one(void* block) { the_one().give_back(block); }
  void give_back(void* block);
  void* take(std::size_t size);
  void keep(std::byte* block, Waiting state);
  Waiting release(std::byte* block);
  void drop(std::size_t bytes);
  void enter();
  void leave();

  c10::Allocator* const small_;
  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> used_;
  std::map<std::byte*, Waiting> waiting_;
  std::set<std::pair<std::size_t, std::byte*>> by_size_;  // of what waits
  std::uint64_t clock_ = 0;
  std::int64_t scopes_ = 0;
  Counts counts_;
};

}  // namespace deeplight::detail

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/tensor_pool_inl.hpp"
#endif
