// Accumulators of windowed scores, NIQE and spectra: blocks, rows and merges give the whole.
#include <torch/types.h>

#include <cmath>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/gradient_error.hpp"
#include "deeplight/metrics/ms_ssim.hpp"
#include "deeplight/metrics/niqe.hpp"
#include "deeplight/metrics/piqe.hpp"
#include "deeplight/metrics/sharpness.hpp"
#include "deeplight/metrics/source_width.hpp"
#include "deeplight/metrics/spectral_error.hpp"
#include "deeplight/metrics/ssim.hpp"
#include "deeplight/metrics/uiqi.hpp"
#include "temporary_folder.hpp"

// After torch, whose logging header has a CHECK of its own.
#include <doctest/doctest.h>

namespace {

using namespace deeplight::metrics;
using deeplight::FileError;
using deeplight::FormatError;
using deeplight::InvalidArgument;

at::Tensor lights(at::IntArrayRef shape, std::uint64_t seed) {
  torch::manual_seed(seed);
  const at::Tensor lit = torch::rand(shape, at::kDouble).lt(0.4);
  return torch::rand(shape, at::kDouble).mul(200.0).mul(lit) + torch::randn(shape, at::kDouble);
}

double value(const at::Tensor& tensor) {
  return tensor.item<double>();
}

NiqeModel small_model() {
  NiqeFit fit({.data_range = 255.0, .block_size = 16}, 0.0);
  fit.update(lights({3, 1, 64, 64}, 9));
  return fit.compute();
}

}  // namespace

TEST_CASE("MS-SSIM of rows that come in any height is the whole image's") {
  const at::Tensor x = lights({91, 70}, 1), y = lights({91, 70}, 2) * 0.3 + x;
  at::Tensor mask = torch::ones({91, 70}, at::kBool);
  mask[40][33] = false;
  MsSsimOptions options{.data_range = 255.0, .weights = {0.2, 0.3, 0.5}, .window_size = 5};
  MsSsimOptions whole = options;
  whole.mask = mask;
  double all = 0.0;
  for (const bool lit : {false, true}) {
    if (lit) whole.where = y > 40;
    const double expected = value(ms_ssim(x, y, whole));
    CHECK(expected != all);
    all = expected;
    for (const std::int64_t step : {1, 2, 7, 30, 91}) {
      MsSsimRows rows(options);
      for (std::int64_t row = 0; row < 91; row += step) {
        const std::int64_t count = std::min<std::int64_t>(step, 91 - row);
        std::optional<at::Tensor> where;
        if (lit) where = whole.where->narrow(0, row, count);
        rows.update(x.narrow(0, row, count), y.narrow(0, row, count), mask.narrow(0, row, count),
                    where);
      }
      CHECK(rows.compute() == doctest::Approx(expected).epsilon(1e-12));
      MsSsimAccumulator again(options);
      again.load_state(rows.state());
      CHECK(again.compute() == rows.compute());
      again = MsSsimAccumulator(options);
      again.update(x, y, mask, whole.where);
      CHECK(again.compute() == doctest::Approx(expected).epsilon(1e-12));
    }
  }
}

TEST_CASE("spectral accumulators of rows merge to the whole") {
  const at::Tensor x = lights({80, 48}, 3), y = lights({80, 48}, 4);
  const SpectralOptions options{.statistic = SpectralStatistic::log, .window_size = 16};
  SpectralAccumulator first(options), second(options);
  first.update(x.narrow(0, 0, 40 + 8), y.narrow(0, 0, 40 + 8));
  second.update(x.narrow(0, 40, 40), y.narrow(0, 40, 40));
  first.merge(second);
  CHECK(first.compute() == doctest::Approx(value(spectral_error(x, y, options))).epsilon(1e-12));
  CHECK(first.count() == 9 * 5);
  first.reset();
  CHECK(std::isnan(first.compute()));
  CHECK_THROWS_AS(first.merge_state(at::zeros({3}, at::kDouble)), InvalidArgument);
}

TEST_CASE("a model of NIQE is kept as JSON and refused when it is none") {
  const NiqeModel model = small_model();
  const deeplight::testing::TemporaryFolder folder;
  save_niqe_model(model, folder / "model.json");
  const NiqeModel again = load_niqe_model(folder / "model.json");
  CHECK(again.mean.equal(model.mean));
  CHECK(again.covariance.equal(model.covariance));
  CHECK(again.blocks == 48);
  const at::Tensor x = lights({64, 64}, 5);
  CHECK(value(niqe(x, again)) == value(niqe(x, model)));
  CHECK_THROWS_AS(load_niqe_model(folder / "none.json"), FileError);
  CHECK_THROWS_AS(niqe_model_from_json("{}"), FormatError);
  CHECK_THROWS_AS(niqe_model_from_json("]"), FormatError);
  CHECK_THROWS_AS(niqe(x, NiqeModel{}), InvalidArgument);
}

TEST_CASE("NIQE and PIQE in pieces are the whole image's") {
  const NiqeModel model = small_model();
  const at::Tensor x = lights({64, 48}, 6);
  NiqeAccumulator above(model), below(model);
  above.update(x.narrow(0, 0, 42), 0, 0, 10, 0);
  below.update(x.narrow(0, 22, 42), 10, 0, 0, 0);
  above.merge(below);
  CHECK(above.compute() == doctest::Approx(value(niqe(x, model))).epsilon(1e-9));

  const PiqeOptions options{.stretch = PiqeStretch::range, .data_range = 255.0};
  PiqeAccumulator pieces(options);
  pieces.update(x.narrow(0, 0, 35), {.bottom = 3});
  pieces.update(x.narrow(0, 29, 35), {.top = 3});
  CHECK(pieces.compute() == doctest::Approx(value(piqe(x, options))).epsilon(1e-13));
}

TEST_CASE("states of single-image scores join") {
  const at::Tensor x = lights({40, 30}, 7);
  LaplacianVarianceAccumulator first, second;
  first.update(x.narrow(0, 0, 20));
  second.update(x.narrow(0, 18, 22));
  LaplacianVarianceAccumulator both;
  both.load_state(first.state());
  both.merge(second);
  CHECK(both.compute() == doctest::Approx(value(laplacian_variance(x))).epsilon(1e-12));
  CHECK(both.count() == 38 * 28);

  EntropyAccumulator bins({.data_range = 255.0});
  bins.update(x.narrow(0, 0, 7));
  EntropyAccumulator rest({.data_range = 255.0});
  rest.update(x.narrow(0, 7, 33));
  bins.merge(rest);
  CHECK(bins.compute() == value(entropy(x, {.data_range = 255.0})));
  CHECK_THROWS_AS(bins.merge(EntropyAccumulator({.data_range = 255.0, .bins = 3})),
                  InvalidArgument);
}

TEST_CASE("what was forgotten does not come back") {
  const at::Tensor x = lights({48, 48}, 8), y = lights({48, 48}, 9);
  const auto again = [](auto score, const auto& feed) {
    feed(score);
    const auto once = score.state();
    score.reset();
    CHECK(score.count() == 0);
    feed(score);
    CHECK(score.state() == once);
  };
  const auto pair = [&](auto& score) { score.update(x, y); };
  const auto single = [&](auto& score) { score.update(x); };
  again(SsimAccumulator({.data_range = 255.0}), pair);
  again(UiqiAccumulator(), pair);
  again(GradientErrorAccumulator(), pair);
  again(MsSsimAccumulator({.data_range = 255.0, .weights = {0.4, 0.6}, .window_size = 5}), pair);
  again(AverageGradientAccumulator(), single);
  again(LaplacianVarianceAccumulator(), single);
  again(EntropyAccumulator({.data_range = 255.0}), single);
  again(PiqeAccumulator({.stretch = PiqeStretch::none}),
        [&](PiqeAccumulator& score) { score.update(x, {}); });
}

TEST_CASE("source widths of pieces and of merged accumulators are the whole's") {
  at::Tensor target = at::zeros({48, 40}, at::kDouble);
  for (const auto& [row, column] : {std::pair{10, 12}, {24, 20}, {38, 30}}) {
    target[row][column] = 100.0;
    for (const auto& [dr, dc] : {std::pair{0, 1}, {1, 0}, {0, -1}, {-1, 0}}) {
      target[row + dr][column + dc] = 60.0;
    }
  }
  const at::Tensor prediction = at::cat({target.narrow(1, 1, 39), target.narrow(1, 0, 1)}, 1);
  const SourceWidthOptions options{.min_peak = 50.0};
  const SourceWidthMeans whole = source_width_means(source_widths(prediction, target, options));
  CHECK(value(whole.sources) == 3);
  CHECK(value(whole.measured) == 3);
  // Half of 100 lies between 60 at one pixel and 0 at two.
  CHECK(value(whole.target) == doctest::Approx(2 * (1 + 10.0 / 60)).epsilon(1e-12));
  CHECK(value(whole.rmse) == doctest::Approx(0.0));
  SourceWidthAccumulator above(options), below(options);
  const std::int64_t halo = above.halo();
  above.update(prediction.narrow(0, 0, 25 + halo), target.narrow(0, 0, 25 + halo), std::nullopt,
               {.bottom = halo});
  below.update(prediction.narrow(0, 25 - halo, 23 + halo), target.narrow(0, 25 - halo, 23 + halo),
               std::nullopt, {.top = halo});
  CHECK(value(above.compute().sources) == 2);
  above.merge(below);
  CHECK(value(above.compute().sources) == 3);
  CHECK(value(above.compute().prediction) == value(whole.prediction));
  above.reset();
  CHECK(std::isnan(value(above.compute().prediction)));
  CHECK_THROWS_AS(above.set_state(at::zeros({5}, at::kDouble)), InvalidArgument);
  CHECK_THROWS_AS(SourceWidthAccumulator({}), InvalidArgument);
}

TEST_CASE("gradcheck of the spectral error by central differences") {
  const at::Tensor y = lights({8, 8}, 11);
  at::Tensor x = lights({8, 8}, 12).requires_grad_();
  const SpectralOptions options{.window_size = 8};
  spectral_error(x, y, options).backward();
  const at::Tensor slope = x.grad();
  for (const auto& [row, column] : {std::pair{1, 2}, {4, 4}, {6, 3}}) {
    at::Tensor up = x.detach().clone(), down = up.clone();
    up[row][column] += 1e-4;
    down[row][column] -= 1e-4;
    const double expected =
        (value(spectral_error(up, y, options)) - value(spectral_error(down, y, options))) / 2e-4;
    CHECK(value(slope[row][column]) == doctest::Approx(expected).epsilon(1e-5));
  }
}
