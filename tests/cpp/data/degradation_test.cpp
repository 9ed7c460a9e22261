// Degradation against sums written out pixel by pixel.
#include "deeplight/data/degradation.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <doctest/doctest.h>

#include <cmath>

#include "deeplight/core/errors.hpp"
#include "deeplight/data/patch_sampler.hpp"

namespace deeplight {
namespace {

/// The definition: sum of k(d) x(p - d) over valid p - d, over the sum of those k(d).
double naive(const at::Tensor& image, const at::Tensor& valid, const at::Tensor& kernel,
             std::int64_t row, std::int64_t column) {
  double light = 0.0, weight = 0.0;
  for (std::int64_t i = 0; i < kernel.size(0); ++i) {
    for (std::int64_t j = 0; j < kernel.size(1); ++j) {
      const std::int64_t y = row - (i - kernel.size(0) / 2);
      const std::int64_t x = column - (j - kernel.size(1) / 2);
      if (y < 0 || x < 0 || y >= image.size(1) || x >= image.size(2)) continue;
      if (!valid[0][y][x].item<bool>()) continue;
      light += kernel[i][j].item<double>() * image[0][y][x].item<double>();
      weight += kernel[i][j].item<double>();
    }
  }
  return weight > 0 ? light / weight : image[0][row][column].item<double>();
}

void check_against_definition(const at::Tensor& kernel) {
  const at::Tensor image = at::randn({1, 150, 9}) * 20 + 30;
  const at::Tensor valid = at::rand({1, 150, 9}) > 0.3;
  const at::Tensor got = point_spread(image, valid, kernel);
  REQUIRE((got.scalar_type() == at::kFloat));
  for (std::int64_t y = 0; y < 150; ++y) {
    for (std::int64_t x = 0; x < 9; ++x) {
      const auto value = got[0][y][x].item<double>();
      if (valid[0][y][x].item<bool>()) {
        CHECK(value == doctest::Approx(naive(image, valid, kernel, y, x)).epsilon(1e-5));
      } else {
        CHECK(std::isnan(value));
      }
    }
  }
}

TEST_CASE("a point spread is the definition's sum over valid pixels") {
  check_against_definition(gaussian_kernel(0.8));                      // in two passes
  check_against_definition(at::rand({5, 3}, at::kDouble));             // lop-sided, in one
  check_against_definition(at::rand({11, 1}, at::kFloat));             // a column
  check_against_definition(at::eye(3));                                // zeros in it
  check_against_definition(at::tensor({1.0, 0.0, 1.0}).view({1, 3}));  // nothing in the middle
}

TEST_CASE("a Gaussian has its sum, its spread and its symmetry") {
  const at::Tensor kernel = gaussian_kernel(2.0);
  CHECK((kernel.sizes() == at::IntArrayRef({17, 17})));
  CHECK(kernel.sum().item<double>() == doctest::Approx(1.0).epsilon(1e-14));
  const at::Tensor x = at::arange(-8, 9).to(at::kDouble);
  CHECK((kernel.sum(0) * x.square()).sum().item<double>() == doctest::Approx(4.0).epsilon(2e-3));
  CHECK(at::equal(kernel, kernel.t()));
  CHECK(at::equal(kernel, kernel.flip({0})));
  CHECK(at::equal(gaussian_kernel(0.1), at::ones({1, 1}, at::kDouble)));
}

TEST_CASE("a point becomes the kernel") {
  at::Tensor image = at::zeros({1, 9, 9});
  image[0][4][4] = 1.0;
  const at::Tensor measured = at::rand({5, 3}, at::kDouble);
  const at::Tensor seen = point_spread(image, {}, measured);
  const at::Tensor inner = seen[0].slice(0, 2, 7).slice(1, 3, 6).to(at::kDouble);
  CHECK(at::allclose(inner, point_spread_kernel(measured), 1e-6));
}

TEST_CASE("light is neither lost nor made away from the border and from invalid pixels") {
  at::Tensor image = at::zeros({1, 40, 40});
  image.slice(1, 16, 24).slice(2, 16, 24).copy_(at::rand({1, 8, 8}));
  const at::Tensor seen = point_spread(image, {}, gaussian_kernel(2.0));
  CHECK(seen.sum().item<double>() == doctest::Approx(image.sum().item<double>()).epsilon(1e-6));
}

TEST_CASE("the low resolution is blurred, averaged and cut, and empty where nothing is valid") {
  const at::Tensor target = at::rand({1, 24, 32}) * 100;
  at::Tensor valid = at::rand({1, 24, 32}) > 0.2;
  valid.slice(1, 8, 16).slice(2, 0, 8).fill_(false);
  const at::Tensor kernel = gaussian_kernel(1.5);
  const at::Tensor seen = at::nan_to_num(point_spread(target, valid, kernel)).to(at::kDouble);
  const at::Tensor share = at::avg_pool2d(valid.to(at::kDouble), {8, 8}, {8, 8});
  const at::Tensor mean = at::avg_pool2d(seen * valid, {8, 8}, {8, 8}) / share;
  const at::Tensor low = simulate_low_resolution(target, valid, kernel, 8);
  CHECK(at::allclose(low.to(at::kDouble), mean, 1e-6, 0, true));
  CHECK(std::isnan(low[0][1][0].item<double>()));
  const at::Tensor cut = simulate_low_resolution(target, valid, kernel, 8, 50.0);
  CHECK(at::allclose(cut, low.clamp_max(50.0), 0, 0, true));
  CHECK((low > 50.0).any().item<bool>());
  at::Tensor holed = target.clone();
  holed[0][0][0] = NAN;
  CHECK(at::isfinite(simulate_low_resolution(holed, {}, kernel, 8)).all().item<bool>());
}

TEST_CASE("wrong use states the rule and the value") {
  const at::Tensor image = at::zeros({1, 8, 8});
  CHECK_THROWS_WITH_AS(gaussian_kernel(0.0),
                       "the sigma of a Gaussian must be in (0, 256] pixels, got 0",
                       InvalidArgument);
  CHECK_THROWS_AS(gaussian_kernel(NAN), InvalidArgument);
  CHECK_THROWS_WITH_AS(point_spread(image, {}, at::ones({3, 4})),
                       "a point-spread kernel must have two odd sides, got [3, 4]",
                       InvalidArgument);
  CHECK_THROWS_WITH_AS(point_spread_kernel(at::tensor({1.0, -0.5, 1.0}).view({1, 3})),
                       "a point-spread kernel must not be negative, got -0.5", InvalidArgument);
  CHECK_THROWS_AS(point_spread_kernel(at::full({1, 1}, NAN)), InvalidArgument);
  CHECK_THROWS_AS(point_spread_kernel(at::zeros({3, 3})), InvalidArgument);
  CHECK_THROWS_AS(point_spread(at::zeros({2, 8, 8}), {}, at::ones({1, 1})), InvalidArgument);
  CHECK_THROWS_AS(point_spread(image, at::ones({1, 8, 7}, at::kBool), at::ones({1, 1})),
                  InvalidArgument);
  CHECK_THROWS_AS(simulate_low_resolution(image, {}, {}, 3), InvalidArgument);
  CHECK_THROWS_AS(simulate_low_resolution(image, {}, {}, 2, -1.0), InvalidArgument);
}

}  // namespace
}  // namespace deeplight
