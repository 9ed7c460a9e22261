// Philox against the known answers published with Random123.
#include "deeplight/core/counter_random.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace deeplight {
namespace {

TEST_CASE("Philox4x32-10 gives the published answers") {
  using Counter = std::array<std::uint32_t, 4>;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) ==
        Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("streams of different seed, step or item differ; the same stream repeats") {
  CounterRandom one(7, 3, 0);
  CounterRandom same(7, 3, 0);
  CounterRandom others[] = {{8, 3, 0}, {7, 4, 0}, {7, 3, 1}, {7ULL + (1ULL << 32), 3, 0}};
  std::vector<std::uint32_t> bits;
  for (int i = 0; i < 9; ++i) bits.push_back(one.bits());
  for (int i = 0; i < 9; ++i) CHECK(same.bits() == bits[static_cast<std::size_t>(i)]);
  for (CounterRandom& other : others) CHECK(other.bits() != bits[0]);
}

TEST_CASE("uniform and below stay in range and have the right mean") {
  CounterRandom random(1, 2, 3);
  double sum = 0.0;
  std::vector<int> counts(7, 0);
  constexpr int draws = 20000;
  for (int i = 0; i < draws; ++i) {
    const double u = random.uniform();
    REQUIRE((u >= 0.0 && u < 1.0));
    sum += u;
    ++counts.at(static_cast<std::size_t>(random.below(7)));
  }
  CHECK(sum / draws == doctest::Approx(0.5).epsilon(0.02));
  for (const int count : counts) CHECK(count == doctest::Approx(draws / 7.0).epsilon(0.1));
}

}  // namespace
}  // namespace deeplight
