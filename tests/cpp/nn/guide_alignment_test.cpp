#include "deeplight/nn/guide_alignment.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "nn/parts_count.hpp"

TEST_CASE("guide alignment tells its two inputs apart") {
  at::manual_seed(1);
  deeplight::nn::GuideAlignment part({.width = 8});
  const auto guide = at::rand({1, 8, 5, 6}), main = at::rand({1, 8, 5, 6});
  CHECK(part(guide, main).sizes() == guide.sizes());
  CHECK_FALSE(at::allclose(part(guide, main), part(main, guide)));
  CHECK(count_of(*part) == 16 * 8 * 9 + 8 + 8 * 8 * 9 + 8);
}
