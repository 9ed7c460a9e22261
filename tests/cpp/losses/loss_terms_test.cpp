// The objectives beside the pixel losses against loops; masks; the extra terms of the objective.
#include <torch/types.h>

#include <cmath>
#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/losses/deeplight_loss.hpp"
#include "deeplight/losses/frequency.hpp"
#include "deeplight/losses/gradient.hpp"
#include "deeplight/losses/radiance_consistency.hpp"
#include "deeplight/losses/ssim.hpp"
#include "deeplight/losses/total_variation.hpp"
#include "deeplight/metrics/ssim.hpp"

// After torch, whose logging header has a CHECK of its own.
#include <doctest/doctest.h>

namespace {

using namespace deeplight;
using namespace deeplight::losses;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Sample {
  at::Tensor prediction, target, mask;
};

Sample sample() {
  torch::manual_seed(1);
  Sample made{torch::rand({2, 1, 16, 20}, at::kDouble), torch::rand({2, 1, 16, 20}, at::kDouble),
              torch::ones({2, 1, 16, 20}, at::kBool)};
  made.mask[0][0][2][3] = false;
  made.mask[1][0].narrow(0, 12, 4).fill_(false);
  return made;
}

double value(const at::Tensor& tensor) {
  return tensor.item<double>();
}

double loop_steps(const at::Tensor& image, const at::Tensor& mask) {
  const auto in = image.accessor<double, 4>();
  const auto known = mask.accessor<bool, 4>();
  double sum = 0, count = 0;
  for (std::int64_t b = 0; b < image.size(0); ++b) {
    for (std::int64_t i = 0; i < image.size(2); ++i) {
      for (std::int64_t j = 0; j < image.size(3); ++j) {
        if (!known[b][0][i][j]) continue;
        if (i + 1 < image.size(2) && known[b][0][i + 1][j]) {
          sum += std::abs(in[b][0][i + 1][j] - in[b][0][i][j]);
          ++count;
        }
        if (j + 1 < image.size(3) && known[b][0][i][j + 1]) {
          sum += std::abs(in[b][0][i][j + 1] - in[b][0][i][j]);
          ++count;
        }
      }
    }
  }
  return sum / count;
}

}  // namespace

TEST_CASE("gradient and total variation are means over valid pairs") {
  const Sample s = sample();
  const at::Tensor hidden = s.prediction.masked_fill(s.mask.logical_not(), kNan);
  CHECK(value(gradient(hidden, s.target, s.mask)) ==
        doctest::Approx(loop_steps(s.prediction - s.target, s.mask)).epsilon(1e-12));
  CHECK(value(total_variation(hidden, s.mask)) ==
        doctest::Approx(loop_steps(s.prediction, s.mask)).epsilon(1e-12));
  CHECK(value(total_variation(s.prediction)) ==
        doctest::Approx(loop_steps(s.prediction, torch::ones_like(s.mask))).epsilon(1e-12));
  CHECK(value(total_variation(torch::ones({1, 1, 1, 1}))) == 0);
}

TEST_CASE("the SSIM loss is one minus the pooled score") {
  const Sample s = sample();
  metrics::SsimOptions score;
  score.data_range = 2;
  score.reduction = metrics::Reduction::pooled;
  CHECK(value(ssim(s.prediction, s.target, {.data_range = 2})) ==
        doctest::Approx(1 - value(metrics::ssim(s.prediction, s.target, score))).epsilon(1e-12));
  score.mask = s.mask;
  const at::Tensor hidden = s.prediction.masked_fill(s.mask.logical_not(), kNan);
  CHECK(value(ssim(hidden, s.target, {.data_range = 2}, s.mask)) ==
        doctest::Approx(1 - value(metrics::ssim(s.prediction, s.target, score))).epsilon(1e-12));
  CHECK(value(ssim(hidden, s.target, {.data_range = 2}, torch::zeros_like(s.mask))) == 0);
  CHECK_THROWS_WITH_AS(ssim(s.prediction, s.target, {}), doctest::Contains("above 0, got 0"),
                       InvalidArgument);
}

TEST_CASE("an impulse costs its height at every frequency") {
  const at::Tensor dark = torch::zeros({1, 1, 6, 5}, at::kDouble);
  at::Tensor lit = dark.clone();
  lit[0][0][2][3] = 4;
  const double height = 4 / std::sqrt(30.0);
  for (const Spectrum spectrum : {Spectrum::amplitude, Spectrum::complex}) {
    CHECK(value(frequency(lit, dark, spectrum)) == doctest::Approx(height).epsilon(1e-12));
  }
  const at::Tensor moved = lit.roll({1, 1}, {-2, -1});
  CHECK(value(frequency(lit, moved, Spectrum::amplitude)) == doctest::Approx(0).epsilon(1e-12));
  CHECK(value(frequency(lit, moved, Spectrum::complex)) > 0.1);
  CHECK(value(frequency(lit, dark, Spectrum::complex, lit.eq(0))) == 0);
}

TEST_CASE("the radiance consistency compares block means") {
  const Sample s = sample();
  const at::Tensor low = torch::zeros({2, 1, 4, 5}, at::kDouble);
  const at::Tensor means = s.prediction.reshape({2, 1, 4, 4, 5, 4}).mean({3, 5});
  CHECK(value(radiance_consistency(s.prediction, low)) ==
        doctest::Approx(value(means.mean())).epsilon(1e-12));
  CHECK(value(radiance_consistency(s.prediction, means, {.kind = PixelLoss::mse})) < 1e-28);
  CHECK_THROWS_WITH_AS(radiance_consistency(s.prediction, low.narrow(-1, 0, 3)),
                       doctest::Contains("does not divide the prediction"), InvalidArgument);
}

TEST_CASE("extra terms come by name and leave the rest alone") {
  const Sample s = sample();
  Output output;
  output.image = s.prediction;
  const DeepLightLossTerms plain = DeepLightLoss().terms(output, s.target, {}, s.mask);
  CHECK(plain.extra.empty());
  const DeepLightLoss loss({.ssim = 0.5, .ssim_range = 1, .consistency = 2, .frequency = 3});
  const at::Tensor low = torch::zeros({2, 1, 4, 5}, at::kDouble);
  const DeepLightLossTerms terms = loss.terms(output, s.target, {}, s.mask, low);
  REQUIRE(terms.extra.size() == 3);
  CHECK(terms.extra[0].first == "ssim");
  CHECK(terms.extra[1].first == "consistency");
  CHECK(terms.extra[2].first == "frequency");
  CHECK(value(terms.extra[1].second) ==
        doctest::Approx(value(radiance_consistency(s.prediction, low, {}, s.mask))));
  CHECK(value(terms.image) == value(plain.image));
  const double total = value(plain.total) + 0.5 * value(terms.extra[0].second) +
                       2 * value(terms.extra[1].second) + 3 * value(terms.extra[2].second);
  CHECK(value(terms.total) == doctest::Approx(total).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(DeepLightLoss({.ssim = 1}), doctest::Contains("needs ssim_range"),
                       InvalidArgument);
}
