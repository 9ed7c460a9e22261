// A loop over plain threads: every item once, errors thrown again, empty ranges.
#include "deeplight/core/thread_loop.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

using deeplight::thread_loop;

TEST_CASE("thread_loop: every item is visited once, by no more threads than asked for") {
  for (const std::int64_t threads : {-1, 0, 1, 2, 3, 64}) {
    for (const std::int64_t count : {0, 1, 2, 7, 100}) {
      std::vector<int> seen(static_cast<std::size_t>(count), 0);
      std::atomic<int> parts{0};
      thread_loop(threads, 5, 5 + count, [&](std::int64_t first, std::int64_t last) {
        ++parts;
        CHECK(first < last);
        for (std::int64_t i = first; i < last; ++i) ++seen[static_cast<std::size_t>(i - 5)];
      });
      CHECK(std::accumulate(seen.begin(), seen.end(), 0) == count);
      CHECK(parts <= std::max<std::int64_t>(threads, 1));
      for (const int times : seen) CHECK(times == 1);
    }
  }
}

TEST_CASE("thread_loop: runs on threads of its own") {
  std::vector<std::thread::id> ids(2);
  thread_loop(2, 0, 2, [&](std::int64_t first, std::int64_t) {
    ids[static_cast<std::size_t>(first)] = std::this_thread::get_id();
  });
  CHECK(ids[0] != ids[1]);
  CHECK(ids[1] == std::this_thread::get_id());
}

TEST_CASE("thread_loop: an error is thrown again after all parts are done") {
  std::atomic<int> done{0};
  const auto body = [&](std::int64_t first, std::int64_t) {
    if (first == 0) throw std::runtime_error("first");
    ++done;
  };
  CHECK_THROWS_WITH_AS(thread_loop(4, 0, 4, body), "first", std::runtime_error);
  CHECK(done == 3);
}
