// Large tensors' memory is used again, and never more of it is held than was in use at once.
#include "deeplight/infer/tensor_pool.hpp"

#include <ATen/Functions.h>
#include <c10/core/CPUAllocator.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

using namespace deeplight;
using deeplight::detail::TensorPool;

#if defined(__linux__)

namespace {

at::Tensor of_megabytes(std::int64_t size) {
  return at::empty({size << 20}, at::dtype(at::kByte));
}

/// Without another tensor: it would come from the pool.
bool holds(const at::Tensor& tensor, int value) {
  const std::uint8_t* const values = tensor.const_data_ptr<std::uint8_t>();
  return std::all_of(values, values + tensor.numel(), [&](int other) { return other == value; });
}

}  // namespace

TEST_CASE("tensor pool: what a tensor gives back, the next of its size takes") {
  c10::Allocator* const usual = c10::GetCPUAllocator();
  at::Tensor left_over;
  {
    const TensorPool::Scope scope;
    const auto before = TensorPool::the_one().counts();
    const void* first = nullptr;
    for (int round = 0; round < 3; ++round) {
      const at::Tensor tensor = of_megabytes(8).fill_(round);
      if (round == 0) first = tensor.const_data_ptr();
      CHECK(tensor.const_data_ptr() == first);
      CHECK(holds(tensor, round));
    }
    const auto after = TensorPool::the_one().counts();
    CHECK(after.asked == before.asked + 3);
    CHECK(after.fetched == before.fetched + 1);
    CHECK(after.waiting == before.waiting + (std::size_t{8} << 20));
    left_over = of_megabytes(5).fill_(7);
    const at::Tensor small = at::empty({100});
    CHECK(TensorPool::the_one().counts().asked == after.asked + 1);
  }
  CHECK(c10::GetCPUAllocator() == usual);
  CHECK(TensorPool::the_one().counts().waiting == 0);
  CHECK(holds(left_over, 7));  // a tensor may outlive the scope
  left_over.reset();
  CHECK(TensorPool::the_one().counts().used == 0);
}

TEST_CASE("tensor pool: what waits is cut, and joined again") {
  const TensorPool::Scope scope;
  const void* whole = nullptr;
  {
    const at::Tensor tensor = of_megabytes(12).fill_(1);
    whole = tensor.const_data_ptr();
  }
  const auto before = TensorPool::the_one().counts();
  for (const bool first_goes_first : {true, false}) {
    at::Tensor first = of_megabytes(4).fill_(2), second = of_megabytes(5).fill_(3);
    const at::Tensor third = of_megabytes(3).fill_(4);
    CHECK(first.const_data_ptr() == whole);
    CHECK((holds(first, 2) && holds(second, 3) && holds(third, 4)));
    CHECK(TensorPool::the_one().counts().waiting == before.waiting - (std::size_t{12} << 20));
    (first_goes_first ? first : second).reset();
    (first_goes_first ? second : first).reset();
    const at::Tensor both = of_megabytes(9).fill_(5);
    CHECK(both.const_data_ptr() == whole);
    CHECK(holds(third, 4));
  }
  const at::Tensor again = of_megabytes(12).fill_(6);
  CHECK(again.const_data_ptr() == whole);
  const auto after = TensorPool::the_one().counts();
  CHECK(after.fetched == before.fetched);
  CHECK(after.used + after.waiting <= after.most_used);
}

TEST_CASE("tensor pool: it never holds more than was in use at once") {
  const TensorPool::Scope scope;
  for (std::int64_t size = 2; size < 40; ++size) {
    const at::Tensor one = of_megabytes(size), other = of_megabytes(42 - size);
    const auto counts = TensorPool::the_one().counts();
    CHECK(counts.used + counts.waiting <= counts.most_used);
    CHECK(counts.most_used <= std::size_t{42} << 20);
  }
}

TEST_CASE("tensor pool: scopes nest, and threads share it") {
  const TensorPool::Scope outer;
  {
    const TensorPool::Scope inner;
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([thread, &wrong] {
        for (int round = 0; round < 50; ++round) {
          const at::Tensor tensor = of_megabytes(2 + (thread + round) % 3).fill_(thread);
          if (!holds(tensor, thread)) ++wrong;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
  CHECK(c10::GetCPUAllocator() == &TensorPool::the_one());
}

#endif
