// Features of NIQE: the fit of a generalised Gaussian, blocks on their own, the halved plane.
#include "deeplight/kernels/niqe_cpu.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

using namespace deeplight::kernels;

namespace {

std::vector<double> noise(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(100.0, 40.0);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = normal(generator);
  return values;
}

std::vector<NiqeBlock> blocks_of(const std::vector<double>& values, std::int64_t height,
                                 std::int64_t width, std::int64_t first_row, std::int64_t rows,
                                 const NiqeRules& rules) {
  std::vector<NiqeBlock> blocks(
      static_cast<std::size_t>(rows / rules.block * (width / rules.block)));
  NiqeJob job;
  job.image = Plane::of(values.data(), height, width, width, 1);
  job.first_row = first_row;
  job.rows = rows;
  job.columns = width;
  job.blocks = blocks.data();
  niqe_blocks({job}, rules, Sequential{});
  return blocks;
}

}  // namespace

TEST_CASE("an asymmetric generalised Gaussian is found again") {
  std::mt19937 generator(1);
  std::normal_distribution<double> normal(0.0, 1.0);
  std::exponential_distribution<double> exponential(1.0);
  AggdMoments gaussian, laplacian, skewed;
  for (int i = 0; i < 400000; ++i) {
    gaussian.add(normal(generator));
    const double sign = i % 2 == 0 ? 1.0 : -1.0;
    laplacian.add(sign * exponential(generator));
    skewed.add(std::fabs(normal(generator)) * (i % 3 == 0 ? -1.0 : 2.0));
  }
  CHECK(fit_aggd(gaussian).shape == doctest::Approx(2.0).epsilon(0.02));
  CHECK(fit_aggd(gaussian).left == doctest::Approx(std::sqrt(2.0)).epsilon(0.02));
  CHECK(fit_aggd(gaussian).mean() == doctest::Approx(0.0).scale(1.0).epsilon(0.01));
  CHECK(fit_aggd(laplacian).shape == doctest::Approx(1.0).epsilon(0.02));
  CHECK(fit_aggd(laplacian).right == doctest::Approx(1.0).epsilon(0.03));
  CHECK(fit_aggd(skewed).right / fit_aggd(skewed).left == doctest::Approx(2.0).epsilon(0.02));
}

TEST_CASE("one side without values has no fit, a NaN shows") {
  AggdMoments one;
  for (int i = 0; i < 5; ++i) one.add(1.0);
  CHECK(std::isnan(fit_aggd(one).shape));
  AggdMoments spoiled;
  for (const double value : {-1.0, 2.0, std::nan(""), -3.0, 4.0}) spoiled.add(value);
  CHECK(std::isnan(fit_aggd(spoiled).shape));
}

TEST_CASE("a block's features do not depend on how the image is cut") {
  constexpr std::int64_t width = 48, height = 80;
  const std::vector<double> values = noise(width * height, 3);
  const NiqeRules rules{.data_range = 255.0, .round = true, .block = 16};
  const auto whole = blocks_of(values, height, width, 0, height, rules);
  // Rows 32 to 64 with a halo of 10 on both sides.
  const std::vector<double> cut(values.begin() + 22 * width, values.begin() + 74 * width);
  const auto part = blocks_of(cut, 52, width, 10, 32, rules);
  for (std::size_t i = 0; i < part.size(); ++i) {
    CHECK(part[i].counted);
    CHECK(part[i].features == whole[i + 6].features);
    CHECK(part[i].sharpness == whole[i + 6].sharpness);
  }
}

TEST_CASE("the halved plane keeps a straight line and its mean") {
  constexpr std::int64_t width = 40, height = 32;
  std::vector<double> values(width * height);
  for (std::int64_t i = 0; i < height; ++i) {
    for (std::int64_t j = 0; j < width; ++j) values[i * width + j] = 2.0 * i + 3.0 * j;
  }
  const Plane plane = Plane::of(values.data(), height, width, width, 1);
  const detail::NiqePatch half = detail::halved_patch(plane, {}, 4, 4, 6, 6);
  for (std::int64_t i = 0; i < 6; ++i) {
    for (std::int64_t j = 0; j < 6; ++j) {
      const double expected = 2.0 * (2.0 * (i + 4) + 0.5) + 3.0 * (2.0 * (j + 4) + 0.5);
      CHECK(half.row(i)[j] == doctest::Approx(expected).epsilon(1e-12));
    }
  }
}

TEST_CASE("a flat block does not count, a block with a NaN within reach does and shows it") {
  std::vector<double> values(32 * 32, 7.0);
  const NiqeRules rules{.block = 16};
  for (const NiqeBlock& block : blocks_of(values, 32, 32, 0, 32, rules)) CHECK(!block.counted);
  values = noise(32 * 32, 5);
  values[16 * 32 + 24] = std::nan("");  // 8 pixels from the first block, in its halved reach
  const auto blocks = blocks_of(values, 32, 32, 0, 32, rules);
  CHECK(blocks[0].counted);
  CHECK(std::isnan(blocks[0].features[35]));
}
