// Formats that are derived from a finished GeoTIFF: what they hold, and that none is left
// half-made.
#include "deeplight/raster/raster_format.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "raster/two_band_sample.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

std::string structure(const std::filesystem::path& path, const char* key) {
  GDALDataset* dataset = GDALDataset::FromHandle(GDALOpen(path.c_str(), GA_ReadOnly));
  const char* value = dataset->GetMetadataItem(key, "IMAGE_STRUCTURE");
  const std::string text = value == nullptr ? "" : value;
  GDALClose(dataset);
  return text;
}

int overviews(const std::filesystem::path& path) {
  GDALDataset* dataset = GDALDataset::FromHandle(GDALOpen(path.c_str(), GA_ReadOnly));
  const int count = dataset->GetRasterBand(1)->GetOverviewCount();
  GDALClose(dataset);
  return count;
}

nlohmann::json json_of(const std::filesystem::path& file) {
  return nlohmann::json::parse(std::ifstream(file));
}

/// A Zarr of 20x30 pixels.
void write_zarr(const std::filesystem::path& path, std::int64_t bands,
                const RasterWriterOptions& options) {
  Grid grid;
  grid.rows = 20;
  grid.columns = 30;
  ValueArray values = make_array<ValueArray>(bands, 20, 30);
  ValidArray valid = make_array<ValidArray>(bands, 20, 30);
  values.fill(2);
  valid.fill(1);
  DerivedSink sink(DerivedFormat::zarr, path, grid, bands, options);
  sink.write({0, 0, 20, 30}, values, valid);
  sink.close();
}

}  // namespace

TEST_CASE("formats: values, validity, place and descriptions survive") {
  const TwoBandSample sample;
  for (const auto& [format, file] :
       {std::pair{DerivedFormat::gtiff_overviews, "a.tif"},
        std::pair{DerivedFormat::cog, "cog.tif"}, std::pair{DerivedFormat::zarr, "a.zarr"}}) {
    for (const Compression compression : {Compression::deflate, Compression::none}) {
      if (format == DerivedFormat::cog && compression == Compression::none) continue;
      const TemporaryFolder folder;
      CAPTURE(file);
      DerivedSink sink(format, folder / file, sample.grid, 2,
                       {.compression = compression,
                        .band_names = sample.options.band_names,
                        .units = sample.options.units,
                        .metadata = sample.options.metadata});
      CHECK_FALSE(std::filesystem::exists(folder / file));
      sample.write(sink);
      CHECK(folder.files() == 1);
      const std::string arrays = "ZARR:\"" + (folder / file).string() + "\":/Band";
      const RasterReader reader(format == DerivedFormat::zarr ? arrays + "1," + arrays + "2"
                                                              : (folder / file).string());
      CHECK(sample.equals(reader.read()));
      CHECK(reader.grid().geotransform == sample.grid.geotransform);
      CHECK(same_crs(reader.grid().crs_wkt, sample.grid.crs_wkt));
      CHECK(std::isnan(reader.info().bands[1].nodata.value()));
      CHECK(reader.info().metadata.at("DEEPLIGHT_MODEL") == "none");
      CHECK(reader.info().bands[0].name == "radiance");
      CHECK(reader.info().bands[1].name == "spread");
      CHECK(reader.info().bands[0].units == "nW cm-2 sr-1");
      CHECK(reader.info().bands[1].units == "nW cm-2 sr-1");
      if (format == DerivedFormat::zarr) continue;
      CHECK(overviews(folder / file) == 3);
      CHECK(structure(folder / file, "LAYOUT") == (format == DerivedFormat::cog ? "COG" : ""));
    }
  }
}

TEST_CASE("formats: a Zarr's arrays say what they are, one by one and together") {
  const std::vector<std::string> names{"light \"\u00e9t\u00e9\"", "spread"};
  for (const int bands : {1, 2}) {
    CAPTURE(bands);
    const TemporaryFolder folder;
    write_zarr(folder / "sr.zarr", bands,
               {.band_names = {names.begin(), names.begin() + bands}, .units = "nW cm-2 sr-1"});
    // xarray reads the attributes of each array, or all of them from one file.
    const auto together = json_of(folder / "sr.zarr/.zmetadata")["metadata"];
    for (int band = 0; band < bands; ++band) {
      const std::string array = bands == 1 ? "sr" : concat("Band", band + 1);
      const std::string& name = names[static_cast<std::size_t>(band)];
      const auto attributes = json_of(folder / "sr.zarr" / array / ".zattrs");
      CHECK(attributes["long_name"] == name);
      CHECK(attributes["units"] == "nW cm-2 sr-1");
      CHECK(together[array + "/.zattrs"] == attributes);
      const RasterReader reader("ZARR:\"" + (folder / "sr.zarr").string() + "\":/" + array);
      CHECK(reader.info().bands[0].name == name);
      CHECK(reader.info().bands[0].units == "nW cm-2 sr-1");
    }
  }
}

TEST_CASE("formats: a Zarr without names and units has no empty ones") {
  const TemporaryFolder folder;
  write_zarr(folder / "sr.zarr", 1, {.metadata = {{"DEEPLIGHT_MODEL", "none"}}});
  const auto attributes = json_of(folder / "sr.zarr/sr/.zattrs");
  CHECK(attributes["DEEPLIGHT_MODEL"] == "none");
  CHECK_FALSE(attributes.contains("long_name"));
  CHECK_FALSE(attributes.contains("units"));
}

TEST_CASE("formats: overviews are means of valid pixels") {
  const TwoBandSample sample;
  const TemporaryFolder folder;
  for (const auto format : {DerivedFormat::gtiff_overviews, DerivedFormat::cog}) {
    DerivedSink sink(format, folder / "a.tif", sample.grid, 2, {.overwrite = true});
    sample.write(sink);
    GDALDataset* dataset =
        GDALDataset::FromHandle(GDALOpen((folder / "a.tif").c_str(), GA_ReadOnly));
    GDALRasterBand& half = *dataset->GetRasterBand(2)->GetOverview(0);
    float value = 0;
    CHECK(half.RasterIO(GF_Read, 7, 5, 1, 1, &value, 1, 1, GDT_Float32, 0, 0, nullptr) == CE_None);
    GDALClose(dataset);
    double sum = 0, count = 0;
    for (std::size_t row : {10, 11}) {
      for (std::size_t column : {14, 15}) {
        if (sample.valid(1, row, column) == 0) continue;
        sum += sample.values(1, row, column);
        ++count;
      }
    }
    CHECK(value == doctest::Approx(sum / count).epsilon(1e-6));
  }
}

TEST_CASE("formats: the same bytes each time") {
  const TwoBandSample sample;
  const TemporaryFolder folder;
  std::string first;
  for (int round = 0; round < 2; ++round) {
    DerivedSink sink(DerivedFormat::cog, folder / "a.tif", sample.grid, 2, {.overwrite = true});
    sample.write(sink);
    std::ifstream stream(folder / "a.tif", std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    if (round == 0) first = bytes;
    CHECK(bytes == first);
  }
}

TEST_CASE("formats: refused before work, and nothing left behind") {
  const TwoBandSample sample;
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "old.zarr");
  const auto open = [&](DerivedFormat format, const char* name, Compression compression) {
    DerivedSink sink(format, folder / name, sample.grid, 2, {.compression = compression});
  };
  CHECK(contains(
      message_of<InvalidArgument>([&] { open(DerivedFormat::zarr, "a.tif", Compression::none); }),
      "must be called .zarr"));
  CHECK(contains(
      message_of<FileError>([&] { open(DerivedFormat::zarr, "old.zarr", Compression::none); }),
      "exists already"));
  CHECK(contains(
      message_of<InvalidArgument>([&] { open(DerivedFormat::zarr, "a.zarr", Compression::lzw); }),
      "compression 'lzw'"));
  open(DerivedFormat::cog, "never.tif", Compression::lzw);  // not closed
  CHECK(folder.files() == 1);
  std::ofstream(folder / "source.tif") << "no raster";
  CHECK_THROWS_AS(derive_raster(folder / "source.tif", folder / "b.tif", DerivedFormat::cog,
                                Compression::none, false),
                  FileError);
  CHECK(folder.files() == 1);
}
