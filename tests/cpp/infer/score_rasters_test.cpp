// Scores of rasters by blocks are those of whole images; zones of rasters and polygons.
#include <torch/types.h>

#include <cmath>
#include <fstream>
#include <map>

#include "deeplight/infer/score_rasters.hpp"
#include "deeplight/infer/zone_labels.hpp"
#include "deeplight/metrics/city.hpp"
#include "deeplight/metrics/ms_ssim.hpp"
#include "deeplight/metrics/piqe.hpp"
#include "deeplight/metrics/sharpness.hpp"
#include "deeplight/metrics/spectral_error.hpp"
#include "raster/test_rasters.hpp"

// After torch, whose logging header has a CHECK of its own.
#include <doctest/doctest.h>

namespace {

using namespace deeplight;
using deeplight::test::make_raster;
using deeplight::test::Recipe;
using deeplight::test::TemporaryFolder;

constexpr int rows = 190, columns = 180;

double light(int row, int column, int kind) {
  const int mixed = (row * 7919 + column * 104729 + row * column * 31) % 211;
  return mixed < 120 ? 0.0 : mixed - 110 + kind * ((row * 3 + column * 5) % 7);
}

at::Tensor image(int kind) {
  at::Tensor result = at::empty({rows, columns}, at::kDouble);
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      result[row][column] = static_cast<float>(light(row, column, kind));
    }
  }
  return result;
}

struct Files {
  TemporaryFolder folder;
  ScoreRequest request;

  Files() {
    for (const int kind : {0, 1}) {
      Recipe recipe{.rows = rows, .columns = columns};
      recipe.value = [kind](int, int row, int column) { return light(row, column, kind); };
      make_raster(folder / (kind == 0 ? "hr.tif" : "sr.tif"), recipe);
    }
    request.truth = folder / "hr.tif";
    request.predictions = {{"ours", folder / "sr.tif"}};
    request.scores.data_range = 255.0;
    request.scores.everything = true;
    request.scores.saturation = 90.0;
    request.scores.brightness_edges = {0.0, 20.0, 200.0};
  }

  std::map<std::string, double> run() {
    const ScoreReport report = score_rasters(request);
    return {report.rasters.at(0).scores.begin(), report.rasters.at(0).scores.end()};
  }
};

}  // namespace

TEST_CASE("score_rasters: blocks of any height give the whole images' scores") {
  Files files;
  const at::Tensor p = image(1), t = image(0);
  metrics::NiqeFit fit({.data_range = 255.0, .block_size = 16}, 0.0);
  fit.update(p);
  files.request.scores.niqe_model = fit.compute();
  const auto value = [](const at::Tensor& score) { return score.item<double>(); };
  const double core = value((p - t).masked_select(t.ge(90.0)).square().mean().sqrt());
  const double dim = value((p - t).masked_select(t.lt(20.0)).abs().mean());
  for (const std::int64_t block_pixels : {columns, 5 * columns, 64 * columns, 1 << 21}) {
    files.request.block_pixels = block_pixels;
    auto scores = files.run();
    CHECK(scores.at("ms_ssim") ==
          doctest::Approx(value(metrics::ms_ssim(p, t, {.data_range = 255.0}))).epsilon(1e-12));
    CHECK(scores.at("piqe") ==
          doctest::Approx(value(metrics::piqe(
                              p, {.stretch = metrics::PiqeStretch::range, .data_range = 255.0})))
              .epsilon(1e-12));
    CHECK(scores.at("spectral") ==
          doctest::Approx(
              value(metrics::spectral_error(p, t, {.statistic = metrics::SpectralStatistic::log})))
              .epsilon(1e-12));
    CHECK(scores.at("niqe") ==
          doctest::Approx(value(metrics::niqe(p, *files.request.scores.niqe_model))).epsilon(1e-6));
    CHECK(scores.at("average_gradient") ==
          doctest::Approx(value(metrics::average_gradient(p))).epsilon(1e-12));
    CHECK(
        scores.at("lit_laplacian_variance") ==
        doctest::Approx(value(metrics::laplacian_variance(p, {.where = t.gt(0)}))).epsilon(1e-11));
    CHECK(scores.at("core_rmse") == doctest::Approx(core).epsilon(1e-12));
    CHECK(scores.at("bin0_mae") == doctest::Approx(dim).epsilon(1e-12));
    CHECK(scores.at("bin0_pixels") + scores.at("bin1_pixels") == rows * columns);
  }
}

TEST_CASE("score_rasters: cities of a raster and of polygons in another system") {
  Files files;
  Recipe zones{.rows = rows, .columns = columns, .type = GDT_Int32};
  zones.value = [](int, int row, int column) {
    if (row < 50 && column < 60) return 7.0;
    return row >= 100 && column >= 90 ? 3.0 : -1.0;
  };
  make_raster(files.folder / "zones.tif", zones);
  files.request.zones = files.folder / "zones.tif";
  const auto scores = files.run();
  at::Tensor labels = at::zeros({rows, columns}, at::kLong);
  labels.narrow(0, 0, 50).narrow(1, 0, 60).fill_(7);
  labels.narrow(0, 100, rows - 100).narrow(1, 90, columns - 90).fill_(3);
  const auto line = metrics::city_regression(image(1), image(0), labels);
  CHECK(scores.at("cities") == 2.0);
  CHECK(scores.at("city_slope") == doctest::Approx(line.slope.item<double>()).epsilon(1e-12));

  // The same two places as polygons on the raster's own grid: pixel centres decide.
  std::ofstream(files.folder / "zones.geojson")
      << R"({"type": "FeatureCollection", "crs": {"type": "name",
  "properties": {"name": "urn:ogc:def:crs:EPSG::32622"}}, "features": [)"
      << R"({"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates":
  [[[500000, 9000000], [560000, 9000000], [560000, 8950000], [500000, 8950000], [500000, 9000000]]]}},)"
      << R"({"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates":
  [[[590000, 8900000], [680000, 8900000], [680000, 8810000], [590000, 8810000], [590000, 8900000]]]}}
  ]})";
  const ZoneLabels drawn =
      open_zones(files.folder / "zones.geojson", raster_info(files.request.truth));
  CHECK(drawn.labels == std::vector<std::int64_t>{1, 2});
  const at::Tensor expected = labels.eq(7).to(at::kLong) + labels.eq(3).to(at::kLong) * 2;
  CHECK(drawn.read({0, 0, rows, columns}).equal(expected));
  CHECK(drawn.read({40, 30, 70, 80}).equal(expected.narrow(0, 40, 70).narrow(1, 30, 80)));
  files.request.zones = files.folder / "zones.geojson";
  CHECK(files.run().at("city_slope") == doctest::Approx(scores.at("city_slope")).epsilon(1e-12));

  std::ofstream(files.folder / "points.geojson")
      << R"({"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates":
  [-51, 0]}})";
  files.request.zones = files.folder / "points.geojson";
  CHECK_THROWS_WITH_AS(files.run(), doctest::Contains("is no polygon"), FormatError);
  files.request.zones = files.folder / "none.geojson";
  CHECK_THROWS_AS(files.run(), FileError);
  files.request.zones = files.request.truth;  // floating point
  CHECK_THROWS_AS(files.run(), InvalidArgument);
}
