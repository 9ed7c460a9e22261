// Preprocessor against values worked out by hand and a naive masked mean.
#include "deeplight/data/preprocessor.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "deeplight/core/errors.hpp"

namespace deeplight {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

Preprocessing two_guides() {
  Preprocessing described;
  described.low_resolution = {.units = "nW", .mean = 1.0, .std = 4.0};
  described.output = described.low_resolution;
  described.guides = {{.name = "dmo",
                       .bands = 2,
                       .mean = {10.0, 20.0},
                       .std = {2.0, 5.0},
                       .contrast = GuideContrast::difference},
                      {.name = "dem", .bands = 1}};
  return described;
}

/// The first guide standardised in two windows.
Preprocessing standardised() {
  Preprocessing described = two_guides();
  described.contrast_windows = {5, 3};
  described.guides[0].contrast = GuideContrast::standardised;
  described.guides[0].contrast_spread = {{0.5, 0.25}, {2.0, 8.0}};
  return described;
}

/// The mean over valid pixels of a box, one pixel at a time.
double naive_mean(const at::Tensor& values, const at::Tensor& valid, std::int64_t band,
                  std::int64_t row, std::int64_t column, std::int64_t half) {
  double sum = 0.0;
  std::int64_t count = 0;
  for (std::int64_t i = row - half; i <= row + half; ++i) {
    for (std::int64_t j = column - half; j <= column + half; ++j) {
      if (i < 0 || j < 0 || i >= values.size(2) || j >= values.size(3)) continue;
      if (!valid[0][0][i][j].item<bool>()) continue;
      sum += values[0][band][i][j].item<double>();
      ++count;
    }
  }
  return count == 0 ? 0.0 : sum / static_cast<double>(count);
}

TEST_CASE("the low resolution is shifted and scaled, invalid and NaN pixels become zero") {
  const Preprocessor preprocessor(two_guides(), 8);
  const at::Tensor values = at::tensor({1.0F, 5.0F, nan_value, 9.0F}).view({1, 1, 2, 2});
  const at::Tensor valid = at::tensor({1, 1, 1, 0}).to(at::kBool).view({1, 1, 2, 2});
  const at::Tensor got = preprocessor.low_resolution(values, valid);
  CHECK((got.scalar_type() == at::kFloat));
  CHECK(at::equal(got.flatten(), at::tensor({0.0F, 1.0F, 0.0F, 0.0F})));
}

TEST_CASE("each transform is undone by restore, far and near") {
  for (const auto transform :
       {ValueTransform::linear, ValueTransform::log1p, ValueTransform::asinh}) {
    Preprocessing described;
    described.output = {.transform = transform, .transform_scale = 3.0, .mean = 0.7, .std = 1.9};
    const Preprocessor preprocessor(described, 8);
    const at::Tensor values =
        at::tensor({-2.5F, -1e-6F, 0.0F, 1e-6F, 0.4F, 63.0F, 4095.0F, 3e5F}).view({1, 1, 1, 8});
    const at::Tensor back = preprocessor.restore(preprocessor.target(values));
    CHECK(at::allclose(back, values, 2e-5, 2e-5));
  }
}

TEST_CASE("transforms are what their names say") {
  Preprocessing described;
  described.low_resolution = {.transform = ValueTransform::log1p, .transform_scale = 2.0};
  const at::Tensor six = at::full({1, 1, 1, 1}, 6.0);
  CHECK(Preprocessor(described, 2).low_resolution(six).item<double>() ==
        doctest::Approx(std::log(4.0)));
  described.low_resolution.transform = ValueTransform::asinh;
  CHECK(Preprocessor(described, 2).low_resolution(six).item<double>() ==
        doctest::Approx(std::asinh(3.0)));
  described.low_resolution.transform = ValueTransform::linear;
  CHECK(Preprocessor(described, 2).low_resolution(six).item<double>() == doctest::Approx(3.0));
}

TEST_CASE("log1p refuses values outside its domain, unless they are invalid") {
  Preprocessing described;
  described.low_resolution = {.transform = ValueTransform::log1p, .transform_scale = 2.0};
  const Preprocessor preprocessor(described, 8);
  const at::Tensor values = at::tensor({-2.0F, 1.0F}).view({1, 1, 1, 2});
  CHECK_THROWS_WITH_AS(preprocessor.low_resolution(values),
                       "the low-resolution image holds -2; log1p needs values above -2",
                       InvalidArgument);
  const at::Tensor valid = at::tensor({0, 1}).to(at::kBool).view({1, 1, 1, 2});
  CHECK_NOTHROW(preprocessor.low_resolution(values, valid));
}

TEST_CASE("contrast by difference is the value minus the mean of its valid neighbours") {
  Preprocessing described = two_guides();
  described.contrast_windows = {5};
  const Preprocessor preprocessor(described, 8);
  const at::Tensor values = at::randn({1, 2, 9, 7}) * 30 + 15;
  const at::Tensor valid = at::rand({1, 1, 9, 7}) > 0.4;
  const at::Tensor got = preprocessor.guide("dmo", values, valid);
  REQUIRE((got.sizes() == at::IntArrayRef({1, 4, 9, 7})));
  const double mean[] = {10.0, 20.0};
  const double std[] = {2.0, 5.0};
  for (std::int64_t band = 0; band < 2; ++band) {
    for (std::int64_t i = 0; i < 9; ++i) {
      for (std::int64_t j = 0; j < 7; ++j) {
        const bool usable = valid[0][0][i][j].item<bool>();
        const double x = values[0][band][i][j].item<double>();
        const double around = naive_mean(values, valid, band, i, j, 2);
        const double plain = usable ? (x - mean[band]) / std[band] : 0.0;
        const double contrast = usable ? (x - around) / std[band] : 0.0;
        CHECK(got[0][band][i][j].item<double>() == doctest::Approx(plain).epsilon(1e-5));
        CHECK(got[0][band + 2][i][j].item<double>() == doctest::Approx(contrast).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("standardised contrast is the contrast over its own spread about the pixel") {
  const Preprocessor preprocessor(standardised(), 8);
  const at::Tensor values = at::randn({1, 2, 9, 7}, at::kDouble) * 30 + 15;
  const at::Tensor valid = at::rand({1, 1, 9, 7}) > 0.4;
  const at::Tensor got = preprocessor.guide("dmo", values, valid);
  REQUIRE((got.sizes() == at::IntArrayRef({1, 6, 9, 7})));
  const double std[] = {2.0, 5.0};
  const std::int64_t half[] = {2, 1};
  const double spread[2][2] = {{0.5, 0.25}, {2.0, 8.0}};
  for (std::int64_t window = 0; window < 2; ++window) {
    at::Tensor contrast = at::zeros_like(values);
    const auto each = [&](const auto& visit) {
      for (std::int64_t band = 0; band < 2; ++band)
        for (std::int64_t i = 0; i < 9; ++i)
          for (std::int64_t j = 0; j < 7; ++j)
            if (valid[0][0][i][j].item<bool>()) visit(band, i, j);
    };
    each([&](std::int64_t band, std::int64_t i, std::int64_t j) {
      const double around = naive_mean(values, valid, band, i, j, half[window]);
      contrast[0][band][i][j] = (values[0][band][i][j].item<double>() - around) / std[band];
    });
    const at::Tensor squares = contrast.square();
    at::Tensor expected = at::zeros_like(values);
    each([&](std::int64_t band, std::int64_t i, std::int64_t j) {
      const double around = std::sqrt(naive_mean(squares, valid, band, i, j, half[window]));
      expected[0][band][i][j] =
          contrast[0][band][i][j].item<double>() / (around + spread[window][band] / 2);
    });
    const at::Tensor channels = got.narrow(1, 2 + 2 * window, 2).to(at::kDouble);
    CHECK((channels - expected).abs().max().item<double>() < 1e-6);
  }
}

TEST_CASE("contrast of a tile with its margin equals that of the whole, bit for bit") {
  for (const Preprocessing& described : {two_guides(), standardised()}) {
    const Preprocessor preprocessor(described, 2);
    const at::Tensor values = at::randn({1, 2, 64, 80}) * 1e3;
    const at::Tensor whole = preprocessor.guide("dmo", values);
    const std::int64_t halo = preprocessor.margin() * preprocessor.scale();
    CHECK(halo == (described.contrast_windows.size() == 1 ? 8 : 4));
    const auto inner = [&](std::int64_t seen) {
      return preprocessor
          .guide("dmo", values.slice(2, 16 - seen, 40 + seen).slice(3, 24 - seen, 48 + seen))
          .slice(2, seen, seen + 24)
          .slice(3, seen, seen + 24);
    };
    CHECK(at::equal(inner(halo), whole.slice(2, 16, 40).slice(3, 24, 48)));
    CHECK_FALSE(at::equal(inner(halo - 1), whole.slice(2, 16, 40).slice(3, 24, 48)));
  }
}

TEST_CASE("the box mean keeps small differences on a large offset") {
  const at::Tensor small = at::rand({1, 1, 40, 40}, at::kDouble);
  const at::Tensor shifted = masked_box_mean(small + 1e8, {}, 17) - 1e8;
  CHECK(at::allclose(shifted, masked_box_mean(small, {}, 17), 0, 1e-6));
}

TEST_CASE("the network sees the bands of every contrast") {
  const Preprocessor preprocessor(two_guides(), 8);
  const auto guides = preprocessor.network_guides();
  REQUIRE(guides.size() == 2);
  CHECK((guides[0].name == "dmo" && guides[0].bands == 4));
  CHECK((guides[1].name == "dem" && guides[1].bands == 1));
  CHECK(Preprocessor(standardised(), 8).network_guides()[0].bands == 6);
  const at::Tensor dem = at::randn({1, 1, 8, 8});
  CHECK(at::equal(preprocessor.guide("dem", dem), dem));
}

TEST_CASE("wrong use states the rule and the value") {
  const Preprocessor preprocessor(two_guides(), 8);
  CHECK_THROWS_WITH_AS(preprocessor.guide("den", at::zeros({1, 1, 8, 8})),
                       "guide 'den' is not known; did you mean 'dem'? Known: dmo, dem",
                       InvalidArgument);
  CHECK_THROWS_WITH_AS(preprocessor.guide("dmo", at::zeros({1, 3, 8, 8})),
                       "guide 'dmo' must be [batch, 2, height, width], got [1, 3, 8, 8]",
                       InvalidArgument);
  CHECK_THROWS_WITH_AS(preprocessor.guides({{"dem", at::zeros({1, 1, 8, 8})}}),
                       "guide 'dmo' (2 bands) is missing", InvalidArgument);
  CHECK_THROWS_AS(preprocessor.low_resolution(at::zeros({1, 2, 8, 8})), InvalidArgument);
  Preprocessing even = two_guides();
  even.contrast_windows = {17, 16};
  CHECK_THROWS_AS(Preprocessor(even, 8), InvalidArgument);
  Preprocessing flat = two_guides();
  flat.guides[0].std[1] = 0.0;
  CHECK_THROWS_AS(Preprocessor(flat, 8), InvalidArgument);
  Preprocessing unmeasured = standardised();
  unmeasured.guides[0].contrast_spread[1][0] = 0.0;
  CHECK_THROWS_WITH_AS(Preprocessor(unmeasured, 8),
                       "contrast spreads of guide 'dmo' must be positive, got 0", InvalidArgument);
  unmeasured.guides[0].contrast_spread.pop_back();
  CHECK_THROWS_WITH_AS(Preprocessor(unmeasured, 8),
                       "guide 'dmo' needs one list of contrast_spread for each of 2 contrast "
                       "windows, got 1",
                       InvalidArgument);
}

TEST_CASE("preprocessor: guides in one pass equal guides operation by operation, bit for bit") {
  at::manual_seed(2);
  const at::Tensor values = (at::rand({2, 3, 41, 57}) - 0.3) * 1e4;
  values.view(-1)[5] = std::numeric_limits<float>::quiet_NaN();
  values.view(-1)[99] = std::numeric_limits<float>::infinity();
  const at::Tensor valid = at::rand({2, 3, 41, 57}).gt(0.1);
  for (const double scale : {1.0, 7.3}) {
    Preprocessing description;
    GuideDescription guide;
    guide.name = "dmo";
    guide.bands = 3;
    guide.transform_scale = scale;
    for (const bool given : {false, true}) {
      if (given) guide.mean = {3.7, -211.1, 0.3}, guide.std = {0.7, 913.3, 1e-3};
      description.guides = {guide};
      const Preprocessor preprocessor(description, 2);
      for (const at::Tensor& mask : {at::Tensor(), valid, valid.to(at::kByte)}) {
        // What is differentiated, or lies in strides, takes the other road.
        const at::Tensor slow =
            preprocessor.guide("dmo", values.clone().requires_grad_(), mask).detach();
        CHECK(at::equal(preprocessor.guide("dmo", values, mask), slow));
        const at::Tensor strided = values.transpose(2, 3).contiguous().transpose(2, 3);
        CHECK(at::equal(preprocessor.guide("dmo", strided, mask), slow));
      }
    }
  }
}

}  // namespace
}  // namespace deeplight
