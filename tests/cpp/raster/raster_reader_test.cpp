// Description, windows and validity; damaged, hostile and foreign files.
#include "deeplight/raster/raster_reader.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "deeplight/core/errors.hpp"
#include "raster/test_rasters.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

const double nan_value = std::numeric_limits<double>::quiet_NaN();

float value_at(const Block& block, int band, int row, int column) {
  return block.values(static_cast<std::size_t>(band), static_cast<std::size_t>(row),
                      static_cast<std::size_t>(column));
}
int valid_at(const Block& block, int band, int row, int column) {
  return block.valid(static_cast<std::size_t>(band), static_cast<std::size_t>(row),
                     static_cast<std::size_t>(column));
}

}  // namespace

TEST_CASE("reader: describes grid and bands") {
  const TemporaryFolder folder;
  make_raster(
      folder / "a.tif",
      {.rows = 5, .columns = 7, .bands = 2, .type = GDT_Int16, .finish = [](GDALDataset& dataset) {
         dataset.GetRasterBand(1)->SetNoDataValue(-9999);
         dataset.GetRasterBand(1)->SetDescription("radiance");
         dataset.GetRasterBand(1)->SetUnitType("nW cm-2 sr-1");
         dataset.SetMetadataItem("year", "2012");
       }});
  const RasterInfo info = raster_info(folder / "a.tif");
  CHECK(info.driver == "GTiff");
  CHECK(info.grid.rows == 5);
  CHECK(info.grid.columns == 7);
  CHECK(info.grid.georeferenced);
  CHECK(info.grid.geotransform[0] == 500000);
  CHECK(info.grid.geotransform[5] == -1000);
  CHECK(crs_name(info.grid.crs_wkt) == "EPSG:32622");
  REQUIRE(info.bands.size() == 2);
  CHECK(info.bands[0].dtype == "int16");
  CHECK(info.bands[0].name == "radiance");
  CHECK(info.bands[0].units == "nW cm-2 sr-1");
  CHECK(info.bands[0].nodata.value() == -9999);
  CHECK(info.metadata.at("year") == "2012");
  CHECK(contains(info.text(), "EPSG:32622"));
  CHECK(contains(info.text(), "'radiance' [nW cm-2 sr-1], nodata -9999"));
}

TEST_CASE("reader: windows and band choice") {
  const TemporaryFolder folder;
  make_raster(folder / "a.tif", {.rows = 11, .columns = 13, .bands = 3});
  const RasterReader reader(folder / "a.tif");
  const Block block = reader.read({2, 5, 3, 4}, {2, 0});
  CHECK(block.values.shape(0) == 2);
  CHECK(value_at(block, 0, 0, 0) == 225);
  CHECK(value_at(block, 1, 2, 3) == 48);
  CHECK(valid_at(block, 0, 0, 0) == 1);
  CHECK(value_at(reader.read(), 2, 10, 12) == 312);
  for (const Window& window : {Window{0, 0, 12, 1}, Window{-1, 0, 1, 1}, Window{0, 13, 1, 1},
                               Window{0, 0, 0, 1}, Window{1, 1, 1, 1LL << 62}}) {
    CHECK_THROWS_AS(reader.read(window), InvalidArgument);
  }
  CHECK(contains(message_of<InvalidArgument>([&] { reader.read({0, 0, 1, 1}, {3}); }), "band 3"));
}

TEST_CASE("reader: nodata, NaN and infinity are invalid and read as zero") {
  const TemporaryFolder folder;
  const auto value = [](int band, int row, int column) {
    if (row == 1 && column == 2) return band == 0 ? -1.0 : 7.0;
    if (row == 2 && column == 0) return nan_value;
    if (row == 3 && column == 3) return std::numeric_limits<double>::infinity();
    return 5.0;
  };
  make_raster(folder / "a.tif", {.bands = 2, .value = value, .finish = [](GDALDataset& dataset) {
                                   dataset.GetRasterBand(1)->SetNoDataValue(-1);
                                 }});
  const Block block = RasterReader(folder / "a.tif").read();
  CHECK(valid_at(block, 0, 1, 2) == 0);
  CHECK(value_at(block, 0, 1, 2) == 0);
  for (int band = 0; band < 2; ++band) {
    CHECK(valid_at(block, band, 2, 0) == 0);
    CHECK(valid_at(block, band, 3, 3) == 0);
    CHECK(value_at(block, band, 2, 0) == 0);
    CHECK(valid_at(block, band, 0, 0) == 1);
    CHECK(value_at(block, band, 0, 0) == 5);
  }
  CHECK(std::count(block.valid.begin(), block.valid.end(), 0) == 1 + 2 * 2);
}

TEST_CASE("reader: nodata beyond float32") {
  const TemporaryFolder folder;
  const double nodata = -1.7976931348623157e308;
  make_raster(
      folder / "a.tif",
      {.type = GDT_Float64,
       .value = [&](int, int row, int) { return row == 0 ? nodata : 3.0; },
       .finish = [&](GDALDataset& data) { data.GetRasterBand(1)->SetNoDataValue(nodata); }});
  const Block block = RasterReader(folder / "a.tif").read();
  CHECK(std::count(block.valid.begin(), block.valid.end(), 0) == 4);
  CHECK(value_at(block, 0, 1, 0) == 3);
}

TEST_CASE("reader: mask band and alpha band become validity") {
  const TemporaryFolder folder;
  const std::uint8_t zero = 0;
  make_raster(folder / "mask.tif", {.bands = 2, .finish = [&](GDALDataset& dataset) {
                                      dataset.CreateMaskBand(GMF_PER_DATASET);
                                      GDALRasterBand* mask =
                                          dataset.GetRasterBand(1)->GetMaskBand();
                                      mask->Fill(255);
                                      std::uint8_t value = zero;
                                      CHECK(mask->RasterIO(GF_Write, 2, 1, 1, 1, &value, 1, 1,
                                                           GDT_Byte, 0, 0, nullptr) == CE_None);
                                    }});
  const Block masked = RasterReader(folder / "mask.tif").read();
  CHECK(valid_at(masked, 0, 1, 2) == 0);
  CHECK(valid_at(masked, 1, 1, 2) == 0);
  CHECK(std::count(masked.valid.begin(), masked.valid.end(), 0) == 2);

  make_raster(folder / "alpha.tif",
              {.bands = 2,
               .type = GDT_Byte,
               .value = [](int band, int row, int) { return band == 0 ? 9 : (row == 3 ? 0 : 255); },
               .creation = {"ALPHA=YES"}});
  const RasterReader alpha(folder / "alpha.tif");
  CHECK(alpha.info().has_alpha);
  CHECK(alpha.info().bands.size() == 1);
  const Block seen = alpha.read();
  CHECK(seen.values.shape(0) == 1);
  CHECK(std::count(seen.valid.begin(), seen.valid.end(), 0) == 4);
  CHECK(valid_at(seen, 0, 3, 1) == 0);
}

TEST_CASE("reader: scale and offset are applied after nodata") {
  const TemporaryFolder folder;
  make_raster(folder / "a.tif", {.type = GDT_UInt16,
                                 .value = [](int, int row, int) { return row == 0 ? 0 : 20; },
                                 .finish =
                                     [](GDALDataset& dataset) {
                                       dataset.GetRasterBand(1)->SetNoDataValue(0);
                                       dataset.GetRasterBand(1)->SetScale(0.5);
                                       dataset.GetRasterBand(1)->SetOffset(-3);
                                     }});
  const RasterReader reader(folder / "a.tif");
  CHECK(reader.info().bands[0].scale == 0.5);
  CHECK(valid_at(reader.read(), 0, 0, 0) == 0);
  CHECK(value_at(reader.read(), 0, 1, 0) == 7);
}

TEST_CASE("reader: one pixel and prime sizes") {
  const TemporaryFolder folder;
  make_raster(folder / "one.tif", {.rows = 1, .columns = 1});
  CHECK(value_at(RasterReader(folder / "one.tif").read(), 0, 0, 0) == 0);
  make_raster(
      folder / "prime.tif",
      {.rows = 211, .columns = 307, .creation = {"TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64"}});
  CHECK(value_at(RasterReader(folder / "prime.tif").read({210, 306, 1, 1}), 0, 0, 0) == 2406);
}

TEST_CASE("reader: missing, folder, not a raster, complex, foreign format") {
  const TemporaryFolder folder;
  CHECK(contains(message_of<FileError>([&] { RasterReader(folder / "absent.tif"); }),
                 "absent.tif' does not exist"));
  CHECK(contains(message_of<FormatError>([&] { RasterReader reader(folder.path()); }), "folder"));
  std::ofstream(folder / "text.tif") << "no raster at all";
  std::ofstream(folder / "empty.tif");
  for (const char* name : {"text.tif", "empty.tif"}) {
    const std::string text = message_of<FormatError>([&] { RasterReader(folder / name); });
    CHECK(contains(text, name));
    CHECK(contains(text, "is not a raster"));
  }
  make_raster(folder / "complex.tif", {.type = GDT_CFloat32});
  CHECK(
      contains(message_of<FormatError>([&] { RasterReader(folder / "complex.tif"); }), "complex"));
  // A format that GDAL reads and the allow-list does not name.
  make_raster(folder / "a.kro", {.bands = 3, .type = GDT_Byte, .epsg = 0, .driver = "KRO"});
  CHECK_THROWS_AS(RasterReader(folder / "a.kro"), FormatError);
}

TEST_CASE("reader: a small file that claims 2^31 pixels is refused before allocation") {
  const TemporaryFolder folder;
  make_raster(folder / "huge.tif", {.rows = 46341,
                                    .columns = 46341,
                                    .type = GDT_Byte,
                                    .value = nullptr,
                                    .creation = {"TILED=YES", "SPARSE_OK=TRUE", "BLOCKXSIZE=16384",
                                                 "BLOCKYSIZE=16384"}});
  CHECK(std::filesystem::file_size(folder / "huge.tif") < 1024);
  const std::string text = message_of<FormatError>([&] { RasterReader(folder / "huge.tif"); });
  CHECK(contains(text, "huge.tif"));
  CHECK(contains(text, "46341x46341"));

  make_raster(folder / "block.tif", {.rows = 40000,
                                     .columns = 40000,
                                     .value = nullptr,
                                     .creation = {"TILED=YES", "SPARSE_OK=TRUE", "BLOCKXSIZE=16384",
                                                  "BLOCKYSIZE=16384"}});
  CHECK(contains(message_of<FormatError>([&] { RasterReader(folder / "block.tif"); }),
                 "blocks of 16384x16384"));

  make_raster(folder / "bands.tif", {.rows = 1, .columns = 1, .bands = 40});
  CHECK(
      contains(message_of<FormatError>([&] { RasterReader(folder / "bands.tif", {.bands = 39}); }),
               "claims 40 bands, the limit is 39"));
  CHECK(
      contains(message_of<FormatError>([&] { RasterReader(folder / "bands.tif", {.pixels = 0}); }),
               "the limit is 0"));
}

TEST_CASE("reader: an honest sparse raster of more than 2^31 pixels can be read by windows") {
  const TemporaryFolder folder;
  make_raster(folder / "sparse.tif", {.rows = 50000,
                                      .columns = 50000,
                                      .value = nullptr,
                                      .creation = {"TILED=YES", "SPARSE_OK=TRUE", "BIGTIFF=YES"},
                                      .finish = [](GDALDataset& dataset) {
                                        float value = 42;
                                        CHECK(dataset.GetRasterBand(1)->RasterIO(
                                                  GF_Write, 49999, 49999, 1, 1, &value, 1, 1,
                                                  GDT_Float32, 0, 0, nullptr) == CE_None);
                                      }});
  const RasterReader reader(folder / "sparse.tif");
  CHECK(value_at(reader.read({49999, 49999, 1, 1}), 0, 0, 0) == 42);
  CHECK(contains(message_of<InvalidArgument>([&] { reader.read(); }), "read smaller windows"));
}

TEST_CASE("reader: truncated files give one clear error, and nothing on standard error") {
  const TemporaryFolder folder;
  const std::vector<std::vector<const char*>> kinds = {
      {"TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"},
      {"TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "COMPRESS=DEFLATE", "PREDICTOR=3"},
      {"COMPRESS=LZW"}};
  int refused = 0, cuts = 0;
  bool block_named = false;
  const std::string leaked = standard_error_of(folder, [&] {
    for (const auto& kind : kinds) {
      make_raster(
          folder / "whole.tif",
          {.rows = 97,
           .columns = 89,
           .value = [](int, int row, int column) { return (row * 7919 + column * 104729) % 9973; },
           .creation = kind});
      const auto size = std::filesystem::file_size(folder / "whole.tif");
      for (int part = 0; part < 40; ++part) {
        std::filesystem::copy_file(folder / "whole.tif", folder / "cut.tif",
                                   std::filesystem::copy_options::overwrite_existing);
        std::filesystem::resize_file(folder / "cut.tif", size * static_cast<unsigned>(part) / 40);
        ++cuts;
        const std::string text =
            message_of<FormatError>([&] { RasterReader(folder / "cut.tif").read(); });
        refused += contains(text, "cut.tif") ? 1 : 0;
        block_named = block_named || contains(text, "block (row ");
      }
    }
  });
  CHECK(refused == cuts);
  CHECK(block_named);
  CHECK(leaked == "");
}
