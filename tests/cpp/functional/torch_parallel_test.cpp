// The parallel loop: every item once, on PyTorch's threads, errors thrown again, loops in loops.
#include "deeplight/functional/torch_parallel.hpp"

#include <ATen/Parallel.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

using deeplight::functional::torch_parallel;
using deeplight::functional::torch_parallel_for;

namespace {

struct Threads {
  explicit Threads(int count) : was(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(was); }
  int was;
};

}  // namespace

TEST_CASE("torch_parallel_for: every item once, no more parts than threads or grains") {
  for (const int threads : {1, 2, 3}) {
    const Threads scope(threads);
    for (const std::int64_t count : {0, 1, 2, 7, 100}) {
      for (const std::int64_t grain : {1, 4, 1000}) {
        std::vector<int> seen(static_cast<std::size_t>(count), 0);
        std::atomic<int> parts{0};
        torch_parallel_for(5, 5 + count, grain, [&](std::int64_t first, std::int64_t last) {
          ++parts;
          for (std::int64_t i = first; i < last; ++i) ++seen[static_cast<std::size_t>(i - 5)];
        });
        CHECK(std::accumulate(seen.begin(), seen.end(), 0) == count);
        CHECK(parts <= std::min<std::int64_t>(threads, (count + grain - 1) / grain));
        for (const int times : seen) CHECK(times == 1);
      }
    }
  }
}

TEST_CASE("torch_parallel_for: runs on several threads, those of PyTorch") {
  const Threads scope(2);
  const auto ids_of_a_loop = [] {
    std::mutex mutex;
    std::set<std::thread::id> ids;
    torch_parallel_for(0, 2, 1, [&](std::int64_t, std::int64_t) {
      const std::scoped_lock lock(mutex);
      ids.insert(std::this_thread::get_id());
      CHECK(at::in_parallel_region());
    });
    return ids;
  };
  const auto ids = ids_of_a_loop();
  CHECK(ids.size() == 2);
  CHECK(ids.count(std::this_thread::get_id()) == 1);
  CHECK(ids_of_a_loop() == ids);  // the same ones again: they are kept
}

TEST_CASE("torch_parallel: a loop inside of a loop runs where it is") {
  const Threads scope(2);
  std::atomic<int> visits{0};
  torch_parallel()(0, 2, [&](std::int64_t first, std::int64_t last) {
    const auto here = std::this_thread::get_id();
    for (std::int64_t i = first; i < last; ++i) {
      torch_parallel()(0, 5, [&](std::int64_t begin, std::int64_t end) {
        CHECK(std::this_thread::get_id() == here);
        visits += static_cast<int>(end - begin);
      });
    }
  });
  CHECK(visits == 10);
}

TEST_CASE("torch_parallel_for: an error of a part is thrown again") {
  const Threads scope(2);
  for (const std::int64_t bad : {0, 1}) {
    CHECK_THROWS_WITH_AS(torch_parallel_for(0, 2, 1,
                                            [&](std::int64_t first, std::int64_t) {
                                              if (first == bad) throw std::runtime_error("part");
                                            }),
                         "part", std::runtime_error);
  }
}
