// Block means and their enforcement: means, shares, masks, idempotence.
#include <torch/types.h>

#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/block_mean.hpp"

// After torch, whose logging header has a CHECK of its own.
#include <doctest/doctest.h>

namespace {

using namespace deeplight;
using namespace deeplight::functional;

bool close(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  return at::allclose(a, b, tolerance, tolerance);
}

}  // namespace

TEST_CASE("block mean is the average of each block") {
  const at::Tensor image = torch::arange(24, at::kDouble).reshape({1, 1, 4, 6});
  const at::Tensor expected = torch::tensor({3.5, 5.5, 7.5, 15.5, 17.5, 19.5}, at::kDouble);
  CHECK(close(block_mean(image, 2), expected.reshape({1, 1, 2, 3}), 1e-14));
  CHECK(close(block_mean(image[0][0], 2), expected.reshape({2, 3}), 1e-14));
  at::Tensor valid = torch::ones({4, 6}, at::kBool);
  valid[0][0] = false;
  valid.narrow(0, 2, 2).narrow(1, 4, 2).fill_(false);
  const at::Tensor hidden =
      image.masked_fill(valid.logical_not(), std::numeric_limits<double>::quiet_NaN());
  const at::Tensor masked = block_mean(hidden, 2, valid);
  CHECK(masked[0][0][0][0].item<double>() == doctest::Approx((1 + 6 + 7) / 3.0));
  CHECK(masked[0][0][1][2].item<double>() == 0);
}

TEST_CASE("enforced block means equal the low resolution, once and for all") {
  torch::manual_seed(0);
  const at::Tensor low = torch::rand({2, 1, 3, 4}) * 100;
  at::Tensor image = torch::randn({2, 1, 24, 32}) * 50;
  image.narrow(2, 0, 8).narrow(3, 0, 8).fill_(-1);
  for (const Consistency kind : {Consistency::additive, Consistency::multiplicative}) {
    const at::Tensor once = enforce_block_mean(image, low, 8, kind);
    CHECK(close(block_mean(once, 8), low, 1e-5));
    CHECK(close(enforce_block_mean(once, low, 8, kind), once, 1e-5));
  }
  const at::Tensor light = enforce_block_mean(image, low, 8, Consistency::multiplicative);
  CHECK(light.min().item<float>() >= 0);
  // The first block is dark, so its light is spread evenly.
  CHECK(light[0][0][3][5].item<float>() == low[0][0][0][0].item<float>());
}

TEST_CASE("wrong shapes are named") {
  const at::Tensor image = torch::ones({1, 1, 8, 12});
  CHECK_THROWS_WITH_AS(block_mean(image, 8), doctest::Contains("8x12 must be multiples"),
                       InvalidArgument);
  CHECK_THROWS_WITH_AS(enforce_block_mean(image, torch::ones({1, 1, 2, 2}), 4),
                       doctest::Contains("expected [1, 1, 2, 3]"), InvalidArgument);
}
