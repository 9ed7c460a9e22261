// Objectives against formulas written out; masks, gradients, options.
#include <torch/types.h>

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/functional/block_mean.hpp"
#include "deeplight/losses/deeplight_loss.hpp"

// After torch, whose logging header has a CHECK of its own.
#include <doctest/doctest.h>

namespace {

using namespace deeplight;
using namespace deeplight::losses;

struct Sample {
  Output output;
  at::Tensor target, auxiliary, mask;
};

Sample sample() {
  torch::manual_seed(0);
  const auto noise = [](std::int64_t rows, std::int64_t columns) {
    return torch::randn({2, 1, rows, columns}, at::kDouble);
  };
  Sample made;
  made.output.pyramid = {noise(4, 6), noise(8, 12), noise(16, 24)};
  made.output.image = made.output.pyramid.back();
  made.output.auxiliary_logits = noise(16, 24);
  made.target = noise(16, 24).clamp_min(0);
  made.auxiliary = noise(16, 24).gt(1).to(at::kDouble);
  made.mask = noise(16, 24).gt(-0.5);
  return made;
}

double value(const at::Tensor& tensor) {
  return tensor.item<double>();
}

at::Tensor loop_average(const at::Tensor& image, std::int64_t factor) {
  at::Tensor average =
      torch::zeros({image.size(0), 1, image.size(2) / factor, image.size(3) / factor}, at::kDouble);
  const auto in = image.accessor<double, 4>();
  auto out = average.accessor<double, 4>();
  for (std::int64_t b = 0; b < image.size(0); ++b) {
    for (std::int64_t i = 0; i < image.size(2); ++i) {
      for (std::int64_t j = 0; j < image.size(3); ++j) {
        out[b][0][i / factor][j / factor] += in[b][0][i][j] / static_cast<double>(factor * factor);
      }
    }
  }
  return average;
}

}  // namespace

TEST_CASE("the DeepLight objective is the paper's, with the sign corrected") {
  const Sample s = sample();
  const DeepLightLossTerms terms = DeepLightLoss().terms(s.output, s.target, s.auxiliary);
  double image = 0;
  const double beta[] = {0.2, 0.3, 0.5};
  for (int j = 0; j < 3; ++j) {
    const at::Tensor wanted = loop_average(s.target, 4 >> j);
    const double level = value((s.output.pyramid[j] - wanted).abs().mean());
    CHECK(value(terms.levels[j]) == doctest::Approx(level).epsilon(1e-12));
    image += beta[j] * level;
  }
  const at::Tensor p = s.output.auxiliary_logits->sigmoid();
  const double entropy = -value((s.auxiliary * p.log() + (1 - s.auxiliary) * (1 - p).log()).mean());
  CHECK(value(terms.image) == doctest::Approx(image).epsilon(1e-12));
  CHECK(value(terms.auxiliary) == doctest::Approx(entropy).epsilon(1e-12));
  CHECK(value(terms.total) == doctest::Approx(0.8 * image + 0.2 * entropy).epsilon(1e-12));
}

TEST_CASE("without an auxiliary term the pyramid stands alone") {
  Sample s = sample();
  const DeepLightLoss loss({.alpha = 0.1});
  const double image = value(loss.terms(s.output, s.target, s.auxiliary).image);
  CHECK(value(loss(s.output, s.target)) == image);
  s.output.auxiliary_logits.reset();
  CHECK(value(loss(s.output, s.target, s.auxiliary)) == image);
}

TEST_CASE("a shorter pyramid takes the last weights, renormalised") {
  const std::vector<double> beta = {0.2, 0.3, 0.5};
  CHECK(pyramid_weights(beta, 3) == beta);
  CHECK(pyramid_weights(beta, 2)[0] == doctest::Approx(0.375));
  CHECK(pyramid_weights(beta, 2)[1] == doctest::Approx(0.625));
  CHECK(pyramid_weights(beta, 1)[0] == doctest::Approx(1));
  CHECK(pyramid_weights({1, 1, 2}, 2)[0] == doctest::Approx(4.0 / 3));
  CHECK_THROWS_AS(pyramid_weights(beta, 4), InvalidArgument);
  CHECK_THROWS_AS(pyramid_weights({0.5, 0}, 1), InvalidArgument);
}

TEST_CASE("invalid pixels reach neither value nor gradient") {
  Sample s = sample();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor invalid = s.mask.logical_not();
  for (const PixelLoss kind : {PixelLoss::l1, PixelLoss::mse, PixelLoss::charbonnier}) {
    const DeepLightLoss loss({.pixel_loss = kind, .light_weight = 2});
    const double plain = value(loss(s.output, s.target, s.auxiliary, s.mask));
    Sample hidden = s;
    for (at::Tensor& level : hidden.output.pyramid) level = level.clone().requires_grad_();
    const at::Tensor total = loss(hidden.output, s.target.masked_fill(invalid, nan),
                                  s.auxiliary.masked_fill(invalid, nan), s.mask);
    CHECK(value(total) == doctest::Approx(plain).epsilon(1e-12));
    total.backward();
    const at::Tensor gradient = hidden.output.pyramid.back().grad();
    CHECK(gradient.masked_select(invalid).abs().max().item<double>() == 0);
    CHECK(gradient.isfinite().all().item<bool>());
    CHECK(gradient.masked_select(s.mask).abs().max().item<double>() > 0);
  }
}

TEST_CASE("gradients are those of finite differences") {
  Sample s = sample();
  const DeepLightLoss loss({.pixel_loss = PixelLoss::charbonnier,
                            .epsilon = 0.1,
                            .light_weight = 3,
                            .auxiliary_positive_weight = 5});
  for (at::Tensor& level : s.output.pyramid) level.requires_grad_();
  s.output.auxiliary_logits->requires_grad_();
  loss(s.output, s.target, s.auxiliary, s.mask).backward();
  const at::NoGradGuard guard;
  for (at::Tensor tensor : {s.output.pyramid[0], s.output.pyramid[2], *s.output.auxiliary_logits}) {
    at::Tensor element = tensor[1][0][2][3];
    const double step = 1e-5;
    element.add_(step);
    const double above = value(loss(s.output, s.target, s.auxiliary, s.mask));
    element.sub_(2 * step);
    const double below = value(loss(s.output, s.target, s.auxiliary, s.mask));
    element.add_(step);
    CHECK(value(tensor.grad()[1][0][2][3]) ==
          doctest::Approx((above - below) / (2 * step)).epsilon(1e-6));
  }
}

TEST_CASE("nothing valid is zero, not NaN") {
  const Sample s = sample();
  const at::Tensor nothing = torch::zeros_like(s.mask);
  CHECK(value(DeepLightLoss()(s.output, s.target, s.auxiliary, nothing)) == 0);
}

TEST_CASE("options come from a training configuration, strictly") {
  const auto options = options_from_json<DeepLightLossOptions>(
      Json::parse(R"({"pixel_loss": "mse", "alpha": 0.9, "beta": [1, 2, 3]})"));
  CHECK(options.pixel_loss == PixelLoss::mse);
  CHECK(options.alpha == 0.9);
  CHECK((options.beta == std::vector<double>{1, 2, 3}));
  CHECK(options.light_weight == 0);
  CHECK_THROWS_WITH_AS(options_from_json<DeepLightLossOptions>(Json{{"light_wieght", 1}}),
                       doctest::Contains("did you mean 'light_weight'"), InvalidArgument);
  CHECK_THROWS_WITH_AS(DeepLightLoss({.alpha = -0.1}), doctest::Contains("[0, 1], got -0.1"),
                       InvalidArgument);
}
