// Queues and crews: nothing lost, nothing twice, exceptions and cancelling end everybody.
// Torch-free, so that ThreadSanitizer can run it (docs/reliability.md).
#include "deeplight/infer/pipeline.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>

using namespace deeplight;

TEST_CASE("bounded queue: keeps order, never holds more than its capacity, ends when closed") {
  BoundedQueue<int> queue(3);
  std::atomic<int> inside{0}, most{0};
  std::vector<int> seen;
  Crew crew({&queue});
  crew.start([&] {
    for (int value = 0; value < 2000; ++value) {
      REQUIRE(queue.push(value));
      const int now = ++inside;
      for (int before = most; now > before && !most.compare_exchange_weak(before, now);) {
      }
    }
    queue.close();
  });
  crew.start([&] {
    while (const auto value = queue.pop()) {
      --inside;
      seen.push_back(*value);
    }
  });
  crew.finish();
  std::vector<int> expected(2000);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(seen == expected);
  CHECK(most <= 4);  // the capacity, and one that was taken and not yet counted
  CHECK_FALSE(queue.push(1));
  CHECK_FALSE(queue.pop());
}

TEST_CASE("bounded queue: several producers and consumers lose nothing and double nothing") {
  BoundedQueue<std::unique_ptr<int>> queue(2);
  std::atomic<int> producers{4};
  std::mutex mutex;
  std::multiset<int> seen;
  Crew crew({&queue});
  for (int producer = 0; producer < 4; ++producer) {
    crew.start([&, producer] {
      for (int value = 0; value < 300; ++value) {
        queue.push(std::make_unique<int>(1000 * producer + value));
      }
      if (--producers == 0) queue.close();
    });
  }
  for (int consumer = 0; consumer < 3; ++consumer) {
    crew.start([&] {
      while (auto value = queue.pop()) {
        const std::lock_guard lock(mutex);
        seen.insert(**value);
      }
    });
  }
  crew.finish();
  CHECK(seen.size() == 1200);
  CHECK(std::set<int>(seen.begin(), seen.end()).size() == 1200);
}

TEST_CASE("crew: an exception of any stage ends all and reaches the caller") {
  for (int thrower = 0; thrower < 3; ++thrower) {
    BoundedQueue<int> first(1), second(1);
    const auto fail = [&](int stage, int value) {
      if (stage == thrower && value == 20)
        throw std::runtime_error("stage " + std::to_string(stage));
    };
    Crew crew({&first, &second});
    crew.start([&] {
      for (int value = 0;; ++value) {  // endless unless it is cancelled
        fail(0, value);
        if (!first.push(value)) return;
      }
    });
    crew.start([&] {
      while (const auto value = first.pop()) {
        fail(1, *value);
        if (!second.push(*value)) return;
      }
    });
    crew.work([&] {
      while (const auto value = second.pop()) fail(2, *value);
    });
    CHECK(crew.failed());
    const std::string expected = "stage " + std::to_string(thrower);
    CHECK_THROWS_WITH_AS(crew.finish(), expected.c_str(), std::runtime_error);
  }
}

TEST_CASE("crew: of several exceptions the first counts; one that is left without finish ends") {
  BoundedQueue<int> queue(1);
  {
    Crew crew({&queue});
    crew.work([] { throw std::runtime_error("first"); });
    crew.work([] { throw std::logic_error("second"); });
    CHECK_THROWS_WITH_AS(crew.finish(), "first", std::runtime_error);
  }
  BoundedQueue<int> waited(1);
  {
    Crew crew({&waited});
    crew.start([&] { CHECK_FALSE(waited.pop()); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }  // the destructor cancels and waits
  CHECK_FALSE(waited.push(1));
}

TEST_CASE("bounded queue: cancelling drops what waits and frees it") {
  const auto held = std::make_shared<int>(1);
  BoundedQueue<std::shared_ptr<int>> queue(4);
  for (int copy = 0; copy < 3; ++copy) queue.push(held);
  CHECK(held.use_count() == 4);
  queue.cancel();
  CHECK(held.use_count() == 1);
  CHECK_FALSE(queue.pop());
}
