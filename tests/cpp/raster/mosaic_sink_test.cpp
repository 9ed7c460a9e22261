// Rasters in parts: what they hold, that they can be moved, and that none is left half-made.
#include "deeplight/raster/mosaic_sink.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "deeplight/raster/sinks.hpp"
#include "deeplight/raster/stale_temporaries.hpp"
#include "raster/two_band_sample.hpp"

using namespace deeplight;
using namespace deeplight::test;
namespace fs = std::filesystem;

namespace {

std::size_t files_in(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("mosaic: values, validity, place and descriptions survive; it can be moved") {
  TwoBandSample sample;
  sample.options.metadata["NOTE"] = "a < b & \"c\"";
  const TemporaryFolder folder;
  {
    MosaicSink sink(folder / "sr.vrt", sample.grid, 2, sample.options, 512);
    CHECK_FALSE(fs::exists(folder / "sr.vrt"));
    sample.write(sink);  // windows as wide as the raster: each in several parts
  }
  CHECK(folder.files() == 2);
  CHECK(files_in(folder / "sr.vrt.parts") == 2 * 3);
  fs::create_directory(folder / "elsewhere");
  for (const char* name : {"sr.vrt", "sr.vrt.parts"}) {
    fs::rename(folder / name, folder / "elsewhere" / name);
  }
  const RasterReader reader(folder / "elsewhere/sr.vrt");
  CHECK(sample.equals(reader.read()));
  CHECK(reader.grid().geotransform == sample.grid.geotransform);
  CHECK(same_crs(reader.grid().crs_wkt, sample.grid.crs_wkt));
  CHECK(reader.info().metadata.at("DEEPLIGHT_MODEL") == "none");
  CHECK(reader.info().metadata.at("NOTE") == "a < b & \"c\"");
  for (const std::size_t band : {0, 1}) {
    CHECK(reader.info().bands[band].name == sample.options.band_names[band]);
    CHECK(reader.info().bands[band].units == "nW cm-2 sr-1");
    CHECK(std::isnan(reader.info().bands[band].nodata.value()));
  }
  // Each part is a raster of its own, in its place.
  const RasterInfo part = raster_info(folder / "elsewhere/sr.vrt.parts/1-2.tif");
  CHECK(part.grid.rows == 6);
  CHECK(part.grid.columns == 6);
  CHECK(part.grid.corner(0, 0) == sample.grid.corner(512, 1024));
  CHECK(part.metadata.at("DEEPLIGHT_MODEL") == "none");
}

TEST_CASE("mosaic: refused before work, and nothing left behind") {
  const TwoBandSample sample;
  const TemporaryFolder folder;
  const auto refused = [&](const fs::path& path) {
    return message_of<FileError>([&] { check_sink(path, "", Compression::deflate); });
  };
  CHECK(sink_format(folder / "sr.vrt", "") == "vrt");
  check_sink(folder / "sr.vrt", "", Compression::deflate);
  CHECK(contains(message_of<InvalidArgument>(
                     [&] { check_sink(folder / "sr.tif", "vrt", Compression::deflate); }),
                 "must be called .vrt"));
  {
    MosaicSink sink(folder / "sr.vrt", sample.grid, 2, sample.options, 256);
    sink.write({0, 0, 256, 1030}, make_array<ValueArray>(2, 256, 1030),
               make_array<ValidArray>(2, 256, 1030));
    CHECK(folder.files() == 1);
  }  // not closed
  CHECK(folder.files() == 0);
  {
    MosaicSink sink(folder / "sr.vrt", sample.grid, 2, sample.options);
    sample.write(sink);
  }
  CHECK(files_in(folder / "sr.vrt.parts") == 1);
  CHECK(contains(refused(folder / "sr.vrt"), "exists already; a mosaic is not replaced"));
  fs::rename(folder / "sr.vrt", folder / "moved.vrt");
  CHECK(contains(refused(folder / "sr.vrt"), "sr.vrt.parts' for the parts of"));
  remove_stale_temporaries(folder / "sr.vrt");
  CHECK(fs::exists(folder / "sr.vrt.parts"));
}

TEST_CASE("mosaic: killed between its parts' name and its own, the next run begins anew") {
  const TwoBandSample sample;
  const TemporaryFolder folder;
  for (int round = 0; round < 2; ++round) {
    check_sink(folder / "sr.vrt", "vrt", Compression::deflate);
    MosaicSink sink(folder / "sr.vrt", sample.grid, 2, sample.options, 256);
    sample.write(sink);
    CHECK(sample.equals(RasterReader(folder / "sr.vrt").read()));
    fs::rename(folder / "sr.vrt", folder / "sr.vrt.parts/mosaic.vrt");
  }
  fs::create_directory(folder / ".sr.vrt.4711-0.part.tif");  // killed before
  remove_stale_temporaries(folder / "sr.vrt");
  CHECK(folder.files() == 0);
}
