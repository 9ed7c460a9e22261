// Scores against formulas written out in loops, anchors, masks and degenerate input.
#include <torch/types.h>

#include <cmath>
#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/correlation.hpp"
#include "deeplight/metrics/light.hpp"
#include "deeplight/metrics/psnr.hpp"
#include "deeplight/metrics/regression.hpp"
#include "deeplight/metrics/ssim.hpp"

// After torch, whose logging header has a CHECK of its own.
#include <doctest/doctest.h>

namespace {

using namespace deeplight::metrics;
using deeplight::InvalidArgument;

struct Pair {
  at::Tensor prediction, target;
};

Pair lights(at::IntArrayRef shape) {
  torch::manual_seed(0);
  const at::Tensor lit = torch::rand(shape, at::kDouble).lt(0.3);
  const at::Tensor target = torch::rand(shape, at::kDouble).mul(255.0).mul(lit);
  return {target + torch::randn(shape, at::kDouble) * 6.0, target};
}

double value(const at::Tensor& tensor) {
  return tensor.item<double>();
}

// One window of Wang et al. 2004, equation 13, with a two-dimensional Gaussian and no shortcut.
double reference_window(const at::Tensor& x, const at::Tensor& y, std::int64_t row,
                        std::int64_t column, double range) {
  const auto a = x.accessor<double, 2>();
  const auto b = y.accessor<double, 2>();
  const auto weight = [](std::int64_t i, std::int64_t j) {
    return std::exp(-static_cast<double>(i * i + j * j) / (2 * 1.5 * 1.5));
  };
  double sum = 0, mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
  for (int i = -5; i <= 5; ++i) {
    for (int j = -5; j <= 5; ++j) {
      const double w = weight(i, j);
      sum += w;
      mean_a += w * a[row + i][column + j];
      mean_b += w * b[row + i][column + j];
    }
  }
  mean_a /= sum;
  mean_b /= sum;
  for (int i = -5; i <= 5; ++i) {
    for (int j = -5; j <= 5; ++j) {
      const double w = weight(i, j) / sum;
      const double da = a[row + i][column + j] - mean_a;
      const double db = b[row + i][column + j] - mean_b;
      aa += w * da * da;
      bb += w * db * db;
      ab += w * da * db;
    }
  }
  const double c1 = std::pow(0.01 * range, 2), c2 = std::pow(0.03 * range, 2);
  return (2 * mean_a * mean_b + c1) * (2 * ab + c2) /
         ((mean_a * mean_a + mean_b * mean_b + c1) * (aa + bb + c2));
}

}  // namespace

TEST_CASE("SSIM is the published formula, window by window") {
  const auto [x, y] = lights({17, 19});
  const at::Tensor map = ssim_map(x, y, {.data_range = 255});
  REQUIRE((map.sizes() == at::IntArrayRef({7, 9})));
  double sum = 0, lit_sum = 0;
  int lit_count = 0;
  for (int i = 0; i < 7; ++i) {
    for (int j = 0; j < 9; ++j) {
      const double expected = reference_window(x, y, i + 5, j + 5, 255);
      CHECK(value(map[i][j]) == doctest::Approx(expected).epsilon(1e-10));
      sum += expected;
      if (value(y[i + 5][j + 5]) > 0) {
        lit_sum += expected;
        ++lit_count;
      }
    }
  }
  CHECK(value(ssim(x, y, {.data_range = 255})) == doctest::Approx(sum / 63).epsilon(1e-12));
  const at::Tensor lit = ssim(x, y, {.data_range = 255, .where = lit_mask(y)});
  CHECK(value(lit) == doctest::Approx(lit_sum / lit_count).epsilon(1e-12));
}

TEST_CASE("anchors") {
  const at::Tensor flat = torch::full({1, 1, 12, 12}, 200.0);
  const double k = 0.75, c1 = std::pow(0.01 * 255, 2);
  const double luminance = (2 * k * 4e4 + c1) / ((1 + k * k) * 4e4 + c1);
  CHECK(value(ssim(flat * k, flat, {.data_range = 255})) == doctest::Approx(luminance));
  CHECK(value(psnr(flat * k, flat, {.data_range = 255})) ==
        doctest::Approx(20 * std::log10(255.0 / 50.0)));
  CHECK(value(rmse(flat * k, flat)) == doctest::Approx(50));
  CHECK(value(total_light_ratio(flat * k, flat)) == doctest::Approx(0.75));
  const auto [x, y] = lights({16, 16});
  CHECK(value(cc(y * -2 + 5, y)) == doctest::Approx(-1));
}

TEST_CASE("a mask equals a crop, whatever the masked pixels hold") {
  const auto [x, y] = lights({2, 1, 24, 26});
  at::Tensor mask = torch::zeros({1, 1, 24, 26}, at::kBool);
  mask.narrow(2, 3, 15).narrow(3, 2, 20).fill_(true);
  const auto crop = [](const at::Tensor& t) { return t.narrow(2, 3, 15).narrow(3, 2, 20); };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor hx = x.masked_fill(mask.logical_not(), nan);
  const at::Tensor hy = y.masked_fill(mask.logical_not(), nan);
  for (const Reduction reduction : {Reduction::mean, Reduction::none, Reduction::pooled}) {
    const Options hidden{.mask = mask, .reduction = reduction}, plain{.reduction = reduction};
    CHECK(at::allclose(rmse(hx, hy, hidden), rmse(crop(x), crop(y), plain)));
    CHECK(at::allclose(cc(hx, hy, hidden), cc(crop(x), crop(y), plain)));
    CHECK(at::allclose(total_light_ratio(hx, hy, hidden),
                       total_light_ratio(crop(x), crop(y), plain)));
    CHECK(at::allclose(psnr(hx, hy, {.data_range = 1, .mask = mask, .reduction = reduction}),
                       psnr(crop(x), crop(y), {.data_range = 1, .reduction = reduction})));
    CHECK(at::allclose(ssim(hx, hy, {.data_range = 1, .mask = mask, .reduction = reduction}),
                       ssim(crop(x), crop(y), {.data_range = 1, .reduction = reduction})));
  }
}

TEST_CASE("reductions") {
  const auto [x, y] = lights({2, 3, 1, 12, 13});
  const at::Tensor each = rmse(x, y, {.reduction = Reduction::none});
  REQUIRE((each.sizes() == at::IntArrayRef({2, 3})));
  CHECK((each.scalar_type() == at::kDouble));
  CHECK(value(each[1][2]) == doctest::Approx(value(rmse(x[1][2], y[1][2]))));
  CHECK(value(rmse(x, y)) == doctest::Approx(value(each.mean())));
  CHECK(value(rmse(x, y, {.reduction = Reduction::pooled})) ==
        doctest::Approx(std::sqrt(value((each * each).mean()))));
}

TEST_CASE("degenerate input has documented values") {
  const at::Tensor dark = torch::zeros({1, 1, 12, 12});
  const at::Tensor grey = torch::full({1, 1, 12, 12}, 0.1, at::kDouble);
  const auto [x, y] = lights({1, 1, 12, 12});
  CHECK(std::isinf(value(psnr(y, y, {.data_range = 255}))));
  CHECK(value(ssim(dark, dark, {.data_range = 255})) == 1);
  CHECK(value(cc(grey, y)) == 0);
  CHECK(value(cc(grey, grey)) == 0);
  CHECK(value(total_light_ratio(dark, dark)) == 1);
  CHECK(std::isinf(value(total_light_ratio(y, dark.to(at::kDouble)))));
  const at::Tensor nothing = torch::zeros({12, 12}, at::kBool);
  CHECK(std::isnan(value(psnr(x, y, {.data_range = 1, .mask = nothing}))));
  CHECK(std::isnan(value(ssim(x, y, {.data_range = 1, .mask = nothing}))));
  CHECK(std::isnan(value(ssim(x, y, {.data_range = 1, .where = nothing}))));
  CHECK(std::isnan(value(rmse(x, y, {.mask = nothing}))));
  CHECK(std::isnan(value(cc(x, y, {.mask = nothing}))));
  CHECK(std::isnan(value(total_light_ratio(x, y, {.mask = nothing}))));
}

TEST_CASE("unsigned bytes do not wrap") {
  const at::Tensor low = torch::full({2, 2}, 10, at::kByte);
  const at::Tensor high = torch::full({2, 2}, 250, at::kByte);
  CHECK(value(rmse(low, high)) == 240);
}

TEST_CASE("wrong use is named") {
  const auto [x, y] = lights({12, 12});
  CHECK_THROWS_WITH_AS(psnr(x, y, {}), doctest::Contains("data_range must be given"),
                       InvalidArgument);
  CHECK_THROWS_WITH_AS(ssim(x, y, {.data_range = -1}), doctest::Contains("above 0, got -1"),
                       InvalidArgument);
  CHECK_THROWS_WITH_AS(rmse(x, y.narrow(0, 0, 3)), doctest::Contains("[3, 12]"), InvalidArgument);
  CHECK_THROWS_WITH_AS(rmse(x, y, {.mask = y}), doctest::Contains("must be boolean"),
                       InvalidArgument);
  CHECK_THROWS_WITH_AS(ssim(x.narrow(0, 0, 10), y.narrow(0, 0, 10), {.data_range = 1}),
                       doctest::Contains("at least 11x11 pixels, the window, got 10x12"),
                       InvalidArgument);
}
