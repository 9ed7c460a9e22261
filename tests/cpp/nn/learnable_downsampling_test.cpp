#include "deeplight/nn/learnable_downsampling.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "nn/parts_count.hpp"

using deeplight::nn::LearnableDownsampling;

TEST_CASE("learnable downsampling gives one level per stride, fine to coarse") {
  LearnableDownsampling part({.bands = 7, .scale = 8, .width = 64});
  const auto levels = part(at::rand({2, 7, 32, 48}));
  REQUIRE(levels.size() == 3);
  CHECK(levels[0].sizes() == at::IntArrayRef({2, 32, 16, 24}));
  CHECK(levels[1].sizes() == at::IntArrayRef({2, 64, 8, 12}));
  CHECK(levels[2].sizes() == at::IntArrayRef({2, 64, 4, 6}));
  CHECK(levels[2].min().item<float>() >= 0);
  CHECK(count_of(*part) == 7 * 32 * 9 + 32 + 32 * 64 * 9 + 64 + 64 * 64 * 9 + 64);
}

TEST_CASE("learnable downsampling always ends at the network's width") {
  for (const std::int64_t scale : {2, 4, 8}) {
    LearnableDownsampling part({.bands = 1, .scale = scale, .width = 16});
    const auto levels = part(at::rand({1, 1, 4 * scale, 4 * scale}));
    CHECK(levels.back().sizes() == at::IntArrayRef({1, 16, 4, 4}));
  }
}
