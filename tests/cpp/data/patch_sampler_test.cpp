// PatchSampler: coordinates as data show where every pixel came from.
#include "deeplight/data/patch_sampler.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/data/degradation.hpp"

namespace deeplight {
namespace {

constexpr std::int64_t height = 96;
constexpr std::int64_t width = 120;

PatchSamplerOptions plain() {
  return {.scale = 4,
          .patch = 6,
          .batch = 5,
          .gain_jitter = 0.0,
          .guide_dropout = 0.0,
          .seed = 11,
          .threads = 0};
}

/// Every raster holds its own pixel's coordinates.
PatchSource coordinates() {
  const at::Tensor rows = at::arange(height).view({1, -1, 1}).expand({1, height, width});
  const at::Tensor columns = at::arange(width).view({1, 1, -1}).expand({1, height, width});
  PatchSource source;
  source.target = (rows * 1000 + columns + 1).to(at::kFloat);
  source.guides["dmo"] = at::cat({rows, columns}, 0).to(at::kFloat);
  source.guides["dem"] = source.target * 2;
  source.auxiliary = source.target * 3;
  source.regions = {{0, 0, height, width}};
  return source;
}

bool same(const PatchBatch& a, const PatchBatch& b) {
  bool equal = at::equal(a.target, b.target) && at::equal(a.low_resolution, b.low_resolution) &&
               at::equal(a.valid, b.valid) && at::equal(a.auxiliary, b.auxiliary);
  for (const auto& [name, guide] : a.guides) equal = equal && at::equal(guide, b.guides.at(name));
  return equal;
}

TEST_CASE("a step's batch depends on seed and step alone, not on order or threads") {
  PatchSamplerOptions options = plain();
  options.gain_jitter = 0.2;
  options.guide_dropout = 0.3;
  PatchSampler alone(coordinates(), options);
  options.threads = 3;
  PatchSampler threaded(coordinates(), options);
  for (const std::int64_t step : {0, 1, 2, 3, 7, 4, 5, 0, 100, 101}) {
    CHECK(same(alone.sample(step), threaded.sample(step)));
  }
  CHECK_FALSE(same(alone.sample(0), alone.sample(1)));
  options.seed = 12;
  PatchSampler other(coordinates(), options);
  CHECK_FALSE(same(alone.sample(0), other.sample(0)));
}

TEST_CASE("target, guides, auxiliary and window tell the same place in all eight flips") {
  PatchSampler sampler(coordinates(), plain());
  std::set<std::pair<std::int64_t, std::int64_t>> orientations;
  for (std::int64_t step = 0; step < 20; ++step) {
    const PatchBatch batch = sampler.sample(step);
    CHECK((batch.target.sizes() == at::IntArrayRef({5, 1, 24, 24})));
    const at::Tensor dmo = batch.guides.at("dmo");
    CHECK(at::equal(dmo.slice(1, 0, 1) * 1000 + dmo.slice(1, 1, 2) + 1, batch.target));
    CHECK(at::equal(batch.guides.at("dem"), batch.target * 2));
    CHECK(at::equal(batch.auxiliary, batch.target * 3));
    for (std::int64_t item = 0; item < 5; ++item) {
      const Region& window = batch.windows[static_cast<std::size_t>(item)];
      CHECK(dmo[item][0].min().item<double>() == static_cast<double>(window.row));
      CHECK(dmo[item][1].min().item<double>() == static_cast<double>(window.column));
      const at::Tensor t = batch.target[item][0];
      const auto step_of = [&](std::int64_t i, std::int64_t j) {
        return static_cast<std::int64_t>((t[i][j] - t[0][0]).item<double>());
      };
      orientations.insert({step_of(0, 1), step_of(1, 0)});
    }
  }
  const std::set<std::pair<std::int64_t, std::int64_t>> all = {{1, 1000},   {-1, 1000}, {1, -1000},
                                                               {-1, -1000}, {1000, 1},  {1000, -1},
                                                               {-1000, 1},  {-1000, -1}};
  CHECK(orientations == all);
}

TEST_CASE("the low resolution is the block mean of the target at every phase") {
  PatchSampler sampler(coordinates(), plain());
  std::set<std::pair<std::int64_t, std::int64_t>> phases;
  for (std::int64_t step = 0; step < 40; ++step) {
    const PatchBatch batch = sampler.sample(step);
    const at::Tensor mean = at::avg_pool2d(batch.target.to(at::kDouble), {4, 4}, {4, 4});
    CHECK(at::allclose(batch.low_resolution.to(at::kDouble), mean, 1e-6));
    for (const Region& window : batch.windows) phases.insert({window.row % 4, window.column % 4});
  }
  CHECK(phases.size() == 16);
}

TEST_CASE("without random phase patches lie on the block grid; a real low resolution follows") {
  PatchSamplerOptions options = plain();
  options.random_phase = false;
  PatchSource source = coordinates();
  source.regions = {{2, 3, 90, 110}};
  source.low_resolution = at::avg_pool2d(source.target, {4, 4}, {4, 4}) + 7;
  PatchSampler sampler(source, options);
  for (std::int64_t step = 0; step < 20; ++step) {
    const PatchBatch batch = sampler.sample(step);
    for (const Region& window : batch.windows) {
      CHECK((window.row % 4 == 0 && window.column % 4 == 0));
      CHECK(source.regions[0].contains(window));
    }
    const at::Tensor mean = at::avg_pool2d(batch.target, {4, 4}, {4, 4}) + 7;
    CHECK(at::allclose(batch.low_resolution, mean, 1e-5));
  }
}

TEST_CASE("no patch leaves its region, every corner is reached") {
  PatchSamplerOptions options = plain();
  options.batch = 64;
  PatchSource source = coordinates();
  source.regions = {{5, 7, 30, 33}, {50, 60, 24, 24}, {90, 0, 6, 120}};
  PatchSampler sampler(source, options);
  bool reached[4] = {};
  for (std::int64_t step = 0; step < 60; ++step) {
    for (const Region& window : sampler.sample(step).windows) {
      CHECK((source.regions[0].contains(window) || window == source.regions[1]));
      reached[0] |= window == Region{5, 7, 24, 24};
      reached[1] |= window == Region{11, 7, 24, 24};
      reached[2] |= window == Region{11, 16, 24, 24};
      reached[3] |= window == Region{50, 60, 24, 24};
    }
  }
  for (const bool corner : reached) CHECK(corner);
}

TEST_CASE("positions are drawn in proportion to lit share + bias") {
  PatchSource source;
  source.target = at::zeros({1, 24, 48});
  source.target.slice(2, 0, 24).slice(1, 0, 6).fill_(9);  // a quarter of the left patch
  source.regions = {{0, 0, 24, 24}, {0, 24, 24, 24}};
  PatchSamplerOptions options = plain();
  options.batch = 500;
  options.lit_bias = 0.05;
  PatchSampler sampler(source, options);
  CHECK(sampler.position_count() == 2);
  CHECK(sampler.total_weight() == doctest::Approx(0.25 + 2 * 0.05));
  std::int64_t left = 0;
  for (std::int64_t step = 0; step < 20; ++step) {
    for (const Region& window : sampler.sample(step).windows) left += window.column == 0;
  }
  const double share = 0.30 / 0.35;
  const double deviation = std::sqrt(share * (1 - share) / 10000);
  CHECK(std::abs(static_cast<double>(left) / 10000 - share) < 4 * deviation);
}

TEST_CASE("gain moves light jointly and each guide band alone; dropout blanks whole guides") {
  PatchSamplerOptions options = plain();
  options.gain_jitter = 0.2;
  options.guide_dropout = 0.25;
  options.batch = 100;
  options.flips = false;
  PatchSource source = coordinates();
  source.target.fill_(50);
  source.guides["dmo"].fill_(1);
  PatchSampler sampler(source, options);
  const PatchBatch batch = sampler.sample(3);
  const at::Tensor light = batch.target.amax({1, 2, 3}) / 50;
  CHECK(at::allclose(batch.low_resolution, batch.target.slice(2, 0, 6).slice(3, 0, 6), 1e-6));
  CHECK(light.min().item<double>() < 0.85);
  CHECK(light.max().item<double>() > 1.15);
  CHECK(((light - 1).abs() <= 0.2 + 1e-6).all().item<bool>());
  const at::Tensor bands = batch.guides.at("dmo").amax({2, 3});
  const at::Tensor blank = bands.select(1, 0) == 0;
  CHECK(at::equal(blank, bands.select(1, 1) == 0));
  CHECK(blank.sum().item<std::int64_t>() > 8);
  CHECK(blank.sum().item<std::int64_t>() < 45);
  const at::Tensor kept = bands.index({blank.logical_not()});
  CHECK(((kept - 1).abs() <= 0.2 + 1e-6).all().item<bool>());
  CHECK((kept.select(1, 0) - kept.select(1, 1)).abs().max().item<double>() > 0.1);
}

TEST_CASE("invalid pixels are left out of block means and never drawn alone") {
  PatchSource source = coordinates();
  source.valid = at::ones({1, height, width}, at::kBool);
  source.valid.slice(1, 0, 40).slice(2, 0, 120).fill_(false);
  source.target[0][70][70] = NAN;
  PatchSamplerOptions options = plain();
  options.flips = false;
  PatchSampler sampler(source, options);
  for (std::int64_t step = 0; step < 40; ++step) {
    const PatchBatch batch = sampler.sample(step);
    CHECK(at::isfinite(batch.target).all().item<bool>());
    CHECK(batch.valid.flatten(1).any(1).all().item<bool>());
    const at::Tensor mask = batch.valid.to(at::kDouble);
    const at::Tensor share = at::avg_pool2d(mask, {4, 4}, {4, 4});
    const at::Tensor mean =
        at::avg_pool2d(batch.target.to(at::kDouble) * mask, {4, 4}, {4, 4}) / share;
    CHECK(at::allclose(batch.low_resolution.to(at::kDouble), mean, 1e-6, 0, true));
  }
}

TEST_CASE("the point spread commutes with the phase: every patch is cut from one blurred image") {
  PatchSamplerOptions options = plain();
  options.gain_jitter = 0.2;
  options.saturation = 60.0;
  PatchSource source = coordinates();
  source.target = at::rand({1, height, width}) * 100;
  source.valid = at::rand({1, height, width}) > 0.2;
  source.kernel = gaussian_kernel(1.3);
  const at::Tensor blurred = point_spread(source.target, source.valid, source.kernel);
  PatchSampler sampler(source, options);
  options.flips = false;
  PatchSampler unflipped(source, options);
  bool cut = false;
  for (std::int64_t step = 0; step < 10; ++step) {
    const PatchBatch batch = unflipped.sample(step);
    for (std::int64_t item = 0; item < 5; ++item) {
      const Region& w = batch.windows[static_cast<std::size_t>(item)];
      const auto window = [&](const at::Tensor& image) {
        return image.narrow(1, w.row, w.height).narrow(2, w.column, w.width);
      };
      const at::Tensor valid = window(source.valid);
      const at::Tensor target = window(source.target).masked_fill(valid.logical_not(), 0.0);
      const double gain = (batch.target[item].sum() / target.sum()).item<double>();
      const at::Tensor light =
          window(blurred).masked_fill(valid.logical_not(), 0.0).to(at::kDouble) * gain;
      const at::Tensor mean = at::avg_pool2d(light, {4, 4}, {4, 4}) /
                              at::avg_pool2d(valid.to(at::kDouble), {4, 4}, {4, 4});
      CHECK(at::allclose(batch.low_resolution[item].to(at::kDouble), mean.clamp_max(60.0), 1e-5, 0,
                         true));
      cut = cut || (mean > 60.0).any().item<bool>();
    }
    const PatchBatch flipped = sampler.sample(step);
    CHECK((flipped.windows == batch.windows));
    const auto sorted = [](const at::Tensor& patches) {
      return std::get<0>(at::nan_to_num(patches.flatten(1), -1.0).sort(1));
    };
    CHECK(at::allclose(sorted(flipped.low_resolution), sorted(batch.low_resolution), 1e-5));
  }
  CHECK(cut);
}

TEST_CASE("a share of the batch holds the items that the whole batch has there") {
  PatchSamplerOptions options = plain();
  options.gain_jitter = 0.2;
  options.guide_dropout = 0.3;
  PatchSampler whole(coordinates(), options);
  for (const auto& [first, items] : {std::pair<std::int64_t, std::int64_t>{0, 2}, {2, 3}, {4, 0}}) {
    options.first_item = first;
    options.items = items;
    PatchSampler share(coordinates(), options);
    for (const std::int64_t step : {0, 1, 9}) {
      PatchBatch batch = whole.sample(step);
      const std::int64_t count = items > 0 ? items : 5 - first;
      const auto part = [&](at::Tensor& tensor) { tensor = tensor.narrow(0, first, count); };
      for (at::Tensor* tensor :
           {&batch.low_resolution, &batch.target, &batch.valid, &batch.auxiliary}) {
        part(*tensor);
      }
      for (auto& [name, guide] : batch.guides) part(guide);
      const PatchBatch got = share.sample(step);
      CHECK(same(got, batch));
      REQUIRE(got.windows.size() == static_cast<std::size_t>(count));
      CHECK((got.windows.front() == batch.windows[static_cast<std::size_t>(first)]));
    }
  }
}

TEST_CASE("wrong use states the rule and the value") {
  const auto with = [](auto change) {
    PatchSource source = coordinates();
    PatchSamplerOptions options = plain();
    change(source, options);
    PatchSampler sampler(source, options);
  };
  CHECK_THROWS_WITH_AS(
      with([](auto& source, auto&) { source.regions = {{0, 0, 20, 120}}; }),
      "no region holds a patch of 24x24 high-resolution pixels (patch 6 x scale 4)",
      InvalidArgument);
  CHECK_THROWS_WITH_AS(
      with([](auto& source, auto&) { source.guides["dem"] = at::zeros({1, 96, 119}); }),
      "guide 'dem' must be [bands, 96, 120], got [1, 96, 119]", InvalidArgument);
  CHECK_THROWS_AS(with([](auto& source, auto&) { source.regions = {{80, 0, 24, 24}}; }),
                  InvalidArgument);
  CHECK_THROWS_AS(with([](auto& source, auto&) { source.regions = {}; }), InvalidArgument);
  CHECK_THROWS_AS(with([](auto&, auto& options) { options.gain_jitter = 1.0; }), InvalidArgument);
  CHECK_THROWS_AS(with([](auto&, auto& options) { options.patch = 0; }), InvalidArgument);
  CHECK_THROWS_AS(with([](auto&, auto& options) { options.saturation = -1; }), InvalidArgument);
  CHECK_THROWS_WITH_AS(with([](auto&, auto& options) {
                         options.first_item = 3;
                         options.items = 3;
                       }),
                       "first_item 3 and items 3 must lie in the batch of 5", InvalidArgument);
  CHECK_THROWS_AS(with([](auto&, auto& options) { options.first_item = 5; }), InvalidArgument);
  CHECK_THROWS_AS(with([](auto& source, auto& options) {
                    options.random_phase = false;
                    options.saturation = 9;
                    source.low_resolution = at::zeros({1, 24, 30});
                  }),
                  InvalidArgument);
  CHECK_THROWS_AS(with([](auto& source, auto& options) {
                    options.random_phase = false;
                    source.kernel = at::ones({1, 1});
                    source.low_resolution = at::zeros({1, 24, 30});
                  }),
                  InvalidArgument);
  CHECK_THROWS_AS(with([](auto& source, auto&) { source.low_resolution = at::zeros({1, 24, 30}); }),
                  InvalidArgument);
  CHECK_THROWS_AS(with([](auto& source, auto& options) {
                    source.target.zero_();
                    options.lit_bias = 0;
                  }),
                  InvalidArgument);
  PatchSampler sampler(coordinates(), plain());
  CHECK_THROWS_AS(sampler.sample(-1), InvalidArgument);
}

}  // namespace
}  // namespace deeplight
