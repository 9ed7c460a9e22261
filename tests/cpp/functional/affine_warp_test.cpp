#include "deeplight/functional/affine_warp.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "deeplight/core/errors.hpp"

using deeplight::functional::pixel_warp;

namespace {
at::Tensor matrix(std::vector<double> values) {
  return at::tensor(values).view({1, 2, 3});
}
}  // namespace

TEST_CASE("no displacement is the identity, bit for bit") {
  const auto image = at::rand({2, 3, 7, 5}, at::kDouble);
  CHECK(at::equal(pixel_warp(image, matrix({0, 0, 0, 0, 0, 0}), 2, 3, 4), image));
}

TEST_CASE("a shift takes its values from the right and below, and repeats the edge") {
  const auto image = at::arange(12, at::kDouble).view({1, 1, 3, 4});
  const auto right = pixel_warp(image, matrix({0, 0, 1, 0, 0, 0}), 0, 0, 4);
  CHECK(right[0][0][0][0].item<double>() == 1);
  CHECK(right[0][0][0][3].item<double>() == 3);
  const auto below = pixel_warp(image, matrix({0, 0, 0, 0, 0, 0.25}), 0, 0, 4);
  CHECK(below[0][0][0][0].item<double>() == doctest::Approx(1));
}

TEST_CASE("equals torch's affine grid, in other units") {
  const std::int64_t h = 9, w = 12;
  const auto image = at::rand({1, 2, h, w}, at::kDouble);
  const auto m = matrix({0.05, -0.02, 0.3, 0.01, 0.04, -0.7});
  auto theta = m.clone();
  theta[0][0][1] = m[0][0][1] * h / w;
  theta[0][1][0] = m[0][1][0] * w / h;
  theta[0][0][0] += 1;
  theta[0][1][1] += 1;
  theta[0][0][2] = m[0][0][2] * 2 / w;
  theta[0][1][2] = m[0][1][2] * 2 / h;
  const auto grid = at::affine_grid_generator(theta, {1, 2, h, w}, false);
  const auto expected = at::grid_sampler(image, grid, 0, 1, false);
  CHECK(
      at::allclose(pixel_warp(image, m, (w - 1) / 2.0, (h - 1) / 2.0, 10), expected, 1e-10, 1e-12));
}

TEST_CASE("the displacement is bounded") {
  const auto image = at::rand({1, 1, 5, 40}, at::kDouble);
  const auto far = pixel_warp(image, matrix({0, 0, 100, 0, 0, 0}), 0, 0, 2);
  CHECK(at::equal(far, pixel_warp(image, matrix({0, 0, 2, 0, 0, 0}), 0, 0, 2)));
}

TEST_CASE("moving the centre with the tile gives the whole image's values") {
  const auto image = at::rand({1, 1, 12, 16}, at::kDouble);
  const auto m = matrix({0.03, 0.01, 0.4, -0.02, 0.05, -0.3});
  const auto whole = pixel_warp(image, m, 7.5, 5.5, 2);
  const auto tile = pixel_warp(image.narrow(2, 2, 9).narrow(3, 4, 10), m, 3.5, 3.5, 2);
  CHECK(at::allclose(tile.narrow(2, 3, 3).narrow(3, 3, 4), whole.narrow(2, 5, 3).narrow(3, 7, 4),
                     1e-12, 1e-14));
}

TEST_CASE("shapes are checked") {
  CHECK_THROWS_AS(pixel_warp(at::rand({4, 4}), matrix({0, 0, 0, 0, 0, 0}), 0, 0, 1),
                  deeplight::InvalidArgument);
  CHECK_THROWS_AS(pixel_warp(at::rand({1, 1, 4, 4}), at::rand({1, 3, 3}), 0, 0, 1),
                  deeplight::InvalidArgument);
}
