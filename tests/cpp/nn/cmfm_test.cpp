#include "deeplight/nn/cmfm.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "deeplight/core/errors.hpp"
#include "nn/parts_count.hpp"

using deeplight::nn::CMFM;

TEST_CASE("CMFM has the published number of parameters") {
  CHECK(count_of(*CMFM({.width = 64})) == 1485632);
  CHECK(count_of(*CMFM({.width = 64, .cross_branch = false})) == 1485632 - 3 * (64 * 64 + 64));
}

TEST_CASE("CMFM projects b into a, not a into b") {
  at::manual_seed(2);
  CMFM part({.width = 4, .blocks = 1});
  const at::NoGradGuard no_grad;
  // Only branch a reaches the output: b must then act through the projections alone.
  part->named_parameters()["out0.weight"].narrow(1, 4, 4).zero_();
  const auto a = at::rand({1, 4, 8, 8}), b = at::rand({1, 4, 8, 8});
  CHECK_FALSE(at::allclose(part(a, b), part(a, b + 1)));
  for (const char* name : {"project0.weight", "project1.weight", "project2.weight"})
    part->named_parameters()[name].zero_();
  CHECK(at::equal(part(a, b), part(a, b + 1)));
}

TEST_CASE("CMFM states its rules on sizes") {
  CMFM part({.width = 4, .blocks = 1});
  CHECK_THROWS_AS(part(at::rand({1, 4, 6, 8}), at::rand({1, 4, 6, 8})), deeplight::InvalidArgument);
  CHECK_THROWS_AS(part(at::rand({1, 4, 8, 8}), at::rand({1, 4, 8, 4})), deeplight::InvalidArgument);
  CHECK_THROWS_AS(CMFM({.blocks = 0}), deeplight::InvalidArgument);
}
