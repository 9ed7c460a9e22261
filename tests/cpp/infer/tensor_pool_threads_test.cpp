// Blocks of the pool cross threads, as tensors between the stages of a prediction do. It needs no
// tensors, so that it also runs under ThreadSanitizer (./dev soak tsan).
#include <c10/core/CPUAllocator.h>
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "deeplight/infer/tensor_pool.hpp"

using namespace deeplight;
using deeplight::detail::TensorPool;

#if defined(__linux__)

namespace {

/// A block whose owner wrote `mark` at its start, its end and in between.
struct Marked {
  c10::DataPtr data;
  std::size_t size;
  std::uint64_t mark;

  std::uint64_t* places() const { return static_cast<std::uint64_t*>(data.get()); }
  std::array<std::size_t, 3> checked() const {
    return {0, size / 16, size / sizeof(std::uint64_t) - 1};
  }
  void write() const {
    for (const std::size_t place : checked()) places()[place] = mark;
  }
  bool holds() const {
    for (const std::size_t place : checked()) {
      if (places()[place] != mark) return false;
    }
    return true;
  }
};

}  // namespace

TEST_CASE("tensor pool: no two threads have one block, and blocks may end in another thread") {
  constexpr int threads = 4, rounds = 60;
  constexpr std::size_t kept = 8;
  std::mutex mutex;
  std::vector<Marked> handed_on;
  std::atomic<int> wrong{0};
  const auto work = [&](int thread) {
    const TensorPool::Scope scope;
    std::mt19937 random(static_cast<unsigned>(thread));
    for (int round = 0; round < rounds; ++round) {
      const std::size_t size = ((std::size_t{2} + random() % 5) << 20) + random() % 4096 / 8 * 8;
      Marked block{TensorPool::the_one().allocate(size), size,
                   static_cast<std::uint64_t>(thread * rounds + round)};
      block.write();
      const std::lock_guard lock(mutex);
      handed_on.push_back(std::move(block));
      const std::size_t taken = random() % handed_on.size();
      wrong += !handed_on[taken].holds();
      if (handed_on.size() > kept) {
        std::swap(handed_on[taken], handed_on.back());
        handed_on.pop_back();
      }
    }
  };
  std::vector<std::thread> running;
  running.reserve(threads);
  for (int thread = 0; thread < threads; ++thread) running.emplace_back(work, thread);
  for (std::thread& thread : running) thread.join();
  for (const Marked& block : handed_on) wrong += !block.holds();
  CHECK(wrong == 0);
  CHECK(handed_on.size() == kept);
  handed_on.clear();
  CHECK(TensorPool::the_one().counts().used == 0);
  CHECK(TensorPool::the_one().counts().waiting == 0);
}

#endif
