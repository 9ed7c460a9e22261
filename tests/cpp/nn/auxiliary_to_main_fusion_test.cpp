#include "deeplight/nn/auxiliary_to_main_fusion.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "deeplight/core/errors.hpp"
#include "nn/parts_count.hpp"

using deeplight::nn::AuxiliaryToMainFusion;
using deeplight::nn::NetworkShape;

TEST_CASE("fusion folds any number of guides from the left") {
  const std::int64_t one = count_of(*deeplight::nn::CMFM({.width = 8, .blocks = 1}));
  for (std::size_t guides = 0; guides <= 3; ++guides) {
    NetworkShape shape{.scale = 2, .width = 8, .guides = {}};
    std::vector<at::Tensor> features;
    for (std::size_t i = 0; i < guides; ++i) {
      shape.guides.push_back({std::to_string(i), 1});
      features.push_back(at::rand({1, 8, 4, 4}));
    }
    AuxiliaryToMainFusion part(shape, {.blocks = 1});
    const auto main = at::rand({1, 8, 4, 4});
    CHECK(count_of(part) == static_cast<std::int64_t>(guides) * one);
    const auto fused = part.forward(main, features);
    CHECK(fused.sizes() == main.sizes());
    CHECK(at::equal(fused, main) == features.empty());
    features.push_back(main);
    CHECK_THROWS_AS(part.forward(main, features), deeplight::InvalidArgument);
  }
}
