#include "deeplight/nn/auxiliary_embedded_refinement.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include <cmath>

#include "deeplight/core/errors.hpp"
#include "nn/parts_count.hpp"

using deeplight::Consistency;
using deeplight::nn::AuxiliaryEmbeddedRefinement;
using deeplight::nn::NetworkShape;

namespace {
const NetworkShape shape{.scale = 8, .width = 64, .guides = {}};
}

TEST_CASE("refinement predicts at every scale, coarse to fine") {
  AuxiliaryEmbeddedRefinement part(shape, {});
  CHECK(count_of(part) == 51661);
  const auto output = part.forward(at::rand({1, 64, 4, 6}), {at::rand({1, 1, 4, 6}), {}});
  REQUIRE(output.pyramid.size() == 3);
  CHECK(output.pyramid[0].sizes() == at::IntArrayRef({1, 1, 8, 12}));
  CHECK(output.pyramid[2].is_same(output.image));
  CHECK(output.auxiliary_logits->sizes() == at::IntArrayRef({1, 1, 32, 48}));
  // A rare class: the head starts near its log-odds.
  CHECK(part.named_parameters()["auxiliary.bias"].item<double>() == doctest::Approx(-4.7));
}

TEST_CASE("refinement's options take away what they say") {
  const deeplight::nn::RefinementInputs inputs{at::rand({1, 1, 4, 4}), {}};
  const auto fused = at::rand({1, 64, 4, 4});
  AuxiliaryEmbeddedRefinement single(shape, {.multi_scale = false});
  CHECK(single.forward(fused, inputs).pyramid.size() == 1);
  AuxiliaryEmbeddedRefinement blind(shape, {.auxiliary_head = false});
  CHECK_FALSE(blind.forward(fused, inputs).auxiliary_logits.has_value());
  CHECK_THROWS_AS(AuxiliaryEmbeddedRefinement(shape, {.guide_gate = true}),
                  deeplight::InvalidArgument);
}

TEST_CASE("consistency makes the block mean the input") {
  const auto low = at::rand({1, 1, 4, 4});
  const auto fused = at::rand({1, 64, 4, 4});
  for (const auto kind : {Consistency::additive, Consistency::multiplicative}) {
    AuxiliaryEmbeddedRefinement part(shape, {.consistency = kind});
    const auto image = part.forward(fused, {low, {}}).image;
    CHECK(at::allclose(at::avg_pool2d(image, {8, 8}), low, 1e-5, 1e-6));
    if (kind == Consistency::multiplicative) CHECK(image.min().item<float>() >= 0);
  }
}
