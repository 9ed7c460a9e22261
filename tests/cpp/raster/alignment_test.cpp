// Which pairs of grids fit, what is said when they do not, and warping on request.
#include "deeplight/raster/alignment.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "deeplight/core/errors.hpp"
#include "raster/test_rasters.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

std::string misfit(const TemporaryFolder& folder, const Recipe& guide, std::int64_t scale = 4) {
  make_raster(folder / "ntl.tif", {.rows = 5, .columns = 6});
  make_raster(folder / "dem.tif", guide);
  const RasterInfo low = raster_info(folder / "ntl.tif"), fine = raster_info(folder / "dem.tif");
  const std::string text = message_of<GridMismatch>([&] { check_guide(low, fine, "dem", scale); });
  CHECK(guide_fits(low, fine, scale) == text.empty());
  return text;
}

const std::array<double, 6> fine_transform{500000, 250, 0, 9000000, 0, -250};

}  // namespace

TEST_CASE("alignment: what fits") {
  const TemporaryFolder folder;
  CHECK(misfit(folder, {.rows = 20, .columns = 24, .geotransform = fine_transform}) == "");
  // A tenth of the tolerance.
  CHECK(misfit(folder, {.rows = 20,
                        .columns = 24,
                        .geotransform = {500000.025, 250, 0, 9000000, 0, -250}}) == "");
  CHECK(misfit(folder, {.rows = 5, .columns = 6}, 1) == "");
}

TEST_CASE("alignment: the matrix of mismatches names both values") {
  const TemporaryFolder folder;
  const std::string size =
      misfit(folder, {.rows = 19, .columns = 24, .geotransform = fine_transform});
  CHECK(contains(size,
                 "guide 'dem' (" + (folder / "dem.tif").string() +
                     ") is 24x19 (columns x rows), expected 24x20 = 4 x low resolution 6x5 of " +
                     (folder / "ntl.tif").string()));
  const std::string crs =
      misfit(folder, {.rows = 20, .columns = 24, .epsg = 32623, .geotransform = fine_transform});
  CHECK(contains(crs, "is in EPSG:32623, expected EPSG:32622"));
  const std::string none =
      misfit(folder, {.rows = 20, .columns = 24, .epsg = 0, .geotransform = fine_transform});
  CHECK(contains(none, "is in none, expected EPSG:32622"));
  const std::string shifted = misfit(
      folder, {.rows = 20, .columns = 24, .geotransform = {500001, 250, 0, 9000000, 0, -250}});
  CHECK(contains(shifted, "covers (500001, 9000000)"));
  CHECK(contains(shifted, "0.004 fine cells"));
  const std::string flipped = misfit(
      folder, {.rows = 20, .columns = 24, .geotransform = {500000, 250, 0, 8995000, 0, 250}});
  CHECK(contains(flipped, "covers"));
}

TEST_CASE("alignment: one system written in two ways is the same") {
  OGRSpatialReference a, b;
  a.importFromEPSG(32622);
  b.importFromProj4("+proj=utm +zone=22 +datum=WGS84 +units=m +no_defs");
  char *first = nullptr, *second = nullptr;
  a.exportToWkt(&first);
  b.exportToWkt(&second);
  CHECK(std::string(first) != second);
  CHECK(same_crs(first, second));
  CHECK_FALSE(same_crs(first, ""));
  CHECK_FALSE(same_crs(first, "nonsense"));
  CPLFree(first);
  CPLFree(second);
}

TEST_CASE("alignment: several low-resolution rasters share one grid") {
  const TemporaryFolder folder;
  make_raster(folder / "jan.tif", {});
  make_raster(folder / "feb.tif", {.columns = 5});
  const RasterInfo january = raster_info(folder / "jan.tif");
  CHECK_NOTHROW(check_same_grid(january, january));
  const std::string text =
      message_of<GridMismatch>([&] { check_same_grid(january, raster_info(folder / "feb.tif")); });
  CHECK(contains(text, "feb.tif is 5x4 (columns x rows), expected 4x4"));
}

TEST_CASE("alignment: refining by bilinear reproduces a plane, uncovered ground is invalid") {
  const TemporaryFolder folder;
  make_raster(folder / "ntl.tif", {.rows = 8, .columns = 8});
  // Cells of 1000 m, one low-resolution column short on the right.
  make_raster(folder / "dem.tif",
              {.rows = 8, .columns = 7, .type = GDT_Int16, .value = [](int, int row, int column) {
                 return 10 * row + 3 * column;
               }});
  const Grid low = raster_info(folder / "ntl.tif").grid;
  const RasterReader aligned = align_guide(folder / "dem.tif", low, 4);
  CHECK(aligned.grid().rows == 32);
  CHECK(guide_fits(raster_info(folder / "ntl.tif"), aligned.info(), 4));
  const Block block = aligned.read();
  double worst = 0;
  for (int row = 4; row < 28; ++row) {
    for (int column = 4; column < 24; ++column) {
      const double expected = 10 * ((row + 0.5) / 4 - 0.5) + 3 * ((column + 0.5) / 4 - 0.5);
      worst = std::max(worst, std::abs(block.values(0, static_cast<std::size_t>(row),
                                                    static_cast<std::size_t>(column)) -
                                       expected));
    }
  }
  CHECK(worst < 1e-3);
  CHECK(block.valid(0, 10, 20) == 1);
  CHECK(block.valid(0, 10, 31) == 0);
}

TEST_CASE("alignment: coarsening averages") {
  const TemporaryFolder folder;
  make_raster(folder / "ntl.tif", {.rows = 3, .columns = 3});
  make_raster(folder / "dem.tif",
              {.rows = 30,
               .columns = 30,
               .geotransform = {500000, 100, 0, 9000000, 0, -100},
               .value = [](int, int row, int column) { return (row * 31 + column * 17) % 11; }});
  const Block block =
      align_guide(folder / "dem.tif", raster_info(folder / "ntl.tif").grid, 2).read();
  double worst = 0;
  for (int row = 0; row < 6; ++row) {
    for (int column = 0; column < 6; ++column) {
      double sum = 0;
      for (int y = 5 * row; y < 5 * row + 5; ++y) {
        for (int x = 5 * column; x < 5 * column + 5; ++x) sum += (y * 31 + x * 17) % 11;
      }
      worst = std::max(worst, std::abs(block.values(0, static_cast<std::size_t>(row),
                                                    static_cast<std::size_t>(column)) -
                                       sum / 25));
    }
  }
  CHECK(worst < 1e-4);
}

TEST_CASE("alignment: another coordinate system, and missing ones") {
  const TemporaryFolder folder;
  make_raster(folder / "ntl.tif", {.rows = 8,
                                   .columns = 8,
                                   .epsg = 32622,
                                   .geotransform = {500000, 1000, 0, 5000000, 0, -1000}});
  make_raster(folder / "dem.tif", {.rows = 100,
                                   .columns = 100,
                                   .epsg = 4326,
                                   .geotransform = {-51.1, 0.002, 0, 45.2, 0, -0.002},
                                   .value = [](int, int, int) { return 7; }});
  const Grid low = raster_info(folder / "ntl.tif").grid;
  const Block block = align_guide(folder / "dem.tif", low, 2).read();
  CHECK(block.values.shape(1) == 16);
  CHECK(std::count(block.valid.begin(), block.valid.end(), 1) > 200);
  CHECK(block.values(0, 8, 8) == doctest::Approx(7));

  make_raster(folder / "none.tif", {.epsg = 0});
  CHECK(contains(message_of<GridMismatch>([&] { align_guide(folder / "none.tif", low, 2); }),
                 "the guide has none"));
  Grid rotated = low;
  rotated.geotransform[2] = 5;
  CHECK(contains(message_of<GridMismatch>([&] { align_guide(folder / "dem.tif", rotated, 2); }),
                 "north up"));
}
