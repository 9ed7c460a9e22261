// What is written is what GDAL reads back; failures leave nothing behind.
#include "deeplight/raster/raster_writer.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmath>
#include <csignal>
#include <random>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "raster/test_rasters.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

Grid utm_grid(std::int64_t rows, std::int64_t columns) {
  OGRSpatialReference crs;
  crs.importFromEPSG(32622);
  char* wkt = nullptr;
  crs.exportToWkt(&wkt);
  Grid grid{rows, columns, {500000, 30, 0, 9000000, 0, -30}, wkt, true};
  CPLFree(wkt);
  return grid;
}

ValueArray noise(std::int64_t bands, std::int64_t rows, std::int64_t columns) {
  ValueArray values = make_array<ValueArray>(bands, rows, columns);
  std::mt19937 random(7);
  for (float& value : values) value = static_cast<float>(random()) / 1e6F;
  return values;
}

}  // namespace

TEST_CASE("writer: round trip of values, georeference, nodata, names, units, metadata") {
  const TemporaryFolder folder;
  for (const Compression compression :
       {Compression::none, Compression::deflate, Compression::lzw, Compression::zstd}) {
    const Grid grid = utm_grid(67, 131);
    const ValueArray values = noise(2, 67, 131);
    ValidArray valid = make_array<ValidArray>(2, 67, 131);
    valid.fill(1);
    valid(1, 66, 130) = 0;
    RasterWriter writer(folder / "out.tif", grid, 2,
                        {.compression = compression,
                         .tile = 64,
                         .nodata = -1,
                         .band_names = {"a", "b"},
                         .units = "nW cm-2 sr-1",
                         .metadata = {{"model", "test"}},
                         .overwrite = true});
    writer.write({0, 0, 67, 131}, values, &valid);
    writer.set_metadata("ratio", "1.5");
    writer.close();
    CHECK(folder.files() == 1);

    const RasterReader reader(folder / "out.tif");
    const RasterInfo& info = reader.info();
    CHECK(info.grid.geotransform == grid.geotransform);
    CHECK(same_crs(info.grid.crs_wkt, grid.crs_wkt));
    CHECK(info.block_rows == 64);
    CHECK(info.bands[1].dtype == "float32");
    CHECK(info.bands[1].nodata.value() == -1);
    CHECK(info.bands[0].name == "a");
    CHECK(info.bands[1].units == "nW cm-2 sr-1");
    CHECK(info.metadata.at("model") == "test");
    CHECK(info.metadata.at("ratio") == "1.5");
    const Block block = reader.read();
    CHECK(block.valid(1, 66, 130) == 0);
    CHECK(std::count(block.valid.begin(), block.valid.end(), 0) == 1);
    bool same = true;
    for (std::size_t index = 0; index + 1 < values.size(); ++index) {
      same = same && block.values.data()[index] == values.data()[index];
    }
    CHECK(same);
  }
}

TEST_CASE("writer: windows in any order give the whole; NaN nodata is the default") {
  const TemporaryFolder folder;
  const ValueArray values = noise(1, 100, 100);
  RasterWriter writer(folder / "out.tif", utm_grid(100, 100), 1, {.tile = 32});
  for (const std::int64_t row : {50, 0, 75, 25}) {
    ValueArray part = make_array<ValueArray>(1, 25, 100);
    std::copy_n(values.data() + row * 100, 2500, part.data());
    writer.write({row, 0, 25, 100}, part);
  }
  CHECK_FALSE(std::filesystem::exists(folder / "out.tif"));
  writer.close();
  const RasterReader reader(folder / "out.tif");
  CHECK(reader.read().values == values);
  CHECK(std::isnan(reader.info().bands[0].nodata.value()));
}

TEST_CASE("writer: without close nothing is left") {
  const TemporaryFolder folder;
  {
    RasterWriter writer(folder / "out.tif", utm_grid(10, 10));
    writer.write({0, 0, 10, 10}, noise(1, 10, 10));
    CHECK(folder.files() == 1);
  }
  CHECK(folder.files() == 0);
}

TEST_CASE("writer: refuses wrong use and names the path") {
  const TemporaryFolder folder;
  const Grid grid = utm_grid(8, 8);
  CHECK(contains(message_of<FileError>([&] { RasterWriter(folder / "no/out.tif", grid); }),
                 "does not exist"));
  std::ofstream(folder / "there.tif") << "x";
  CHECK(contains(message_of<FileError>([&] { RasterWriter(folder / "there.tif", grid); }),
                 "there.tif' exists already"));
  CHECK(contains(message_of<FileError>([&] { RasterWriter writer(folder.path(), grid); }),
                 "is a folder"));
  CHECK_THROWS_AS(RasterWriter(folder / "a.tif", grid, 1, {.tile = 100}), InvalidArgument);
  CHECK_THROWS_AS(RasterWriter(folder / "a.tif", grid, 2, {.band_names = {"a"}}), InvalidArgument);
  CHECK_THROWS_AS(RasterWriter(folder / "a.tif", grid, 0), InvalidArgument);
  CHECK_THROWS_AS(RasterWriter(folder / "a.tif", utm_grid(0, 4)), InvalidArgument);
  RasterWriter writer(folder / "a.tif", grid);
  CHECK_THROWS_AS(writer.write({0, 0, 9, 8}, noise(1, 9, 8)), InvalidArgument);
  CHECK_THROWS_AS(writer.write({0, 0, 8, 8}, noise(1, 8, 7)), InvalidArgument);
}

TEST_CASE("writer: BigTIFF when 4 GiB may be passed") {
  CHECK_FALSE(needs_bigtiff(1000, 1000, 1, 256));
  CHECK_FALSE(needs_bigtiff(30000, 30000, 1, 256));  // 3.6 GB
  CHECK(needs_bigtiff(32768, 32768, 1, 256));        // 4 GiB exactly
  CHECK(needs_bigtiff(32700, 32700, 1, 256));        // below, but whole tiles reach it
  CHECK(needs_bigtiff(16384, 16384, 4, 256));
  CHECK(needs_bigtiff(50000, 50000, 1, 256));
  CHECK(needs_bigtiff(2147483647, 2147483647, 1, 256));
}

// A child process whose files may not grow past a limit stands for a full disk.
TEST_CASE("writer: a full disk at any moment is a FileError that leaves nothing") {
  const TemporaryFolder folder;
  const ValueArray values = noise(1, 256, 256);
  int failures = 0, runs = 0, leftovers = 0;
  for (const Compression compression : {Compression::none, Compression::deflate}) {
    const auto write = [&](const std::string& name) {
      RasterWriter writer(folder / name, utm_grid(256, 256), 1,
                          {.compression = compression, .tile = 64});
      writer.write({0, 0, 256, 256}, values);
      writer.close();
    };
    write("whole.tif");
    const auto size = static_cast<rlim_t>(std::filesystem::file_size(folder / "whole.tif"));
    std::filesystem::remove(folder / "whole.tif");
    std::vector<rlim_t> limits{0, 1, 8, 100, size - 100, size - 1};
    for (rlim_t part = 1; part < 20; ++part) limits.push_back(size * part / 20);
    for (const rlim_t limit : limits) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit small{limit, limit};
        ::setrlimit(RLIMIT_FSIZE, &small);
        int code = 0;
        try {
          write("out.tif");
        } catch (const FileError& error) {
          code = contains(error.what(), "out.tif") ? 3 : 4;
        } catch (...) {
          code = 5;
        }
        ::_exit(code);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      ++runs;
      failures += WIFEXITED(status) && WEXITSTATUS(status) == 3 ? 1 : 0;
      leftovers += static_cast<int>(folder.files());
    }
  }
  CHECK(runs == 50);
  CHECK(failures == runs);
  CHECK(leftovers == 0);
}
