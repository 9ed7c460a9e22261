// What `fault_test.cpp` and the soak program run: rasters read and written while files fail, and
// rasters that are damaged. Each gives counts, so that totals can be kept.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "deeplight/raster/raster_writer.hpp"
#include "raster/faulty_files.hpp"

namespace deeplight::test {

struct FaultCounts {
  std::int64_t injected = 0;   ///< runs in which something failed or was damaged
  std::int64_t refused = 0;    ///< ended in an error of ours
  std::int64_t harmless = 0;   ///< ended in the right result all the same
  std::int64_t silent = 0;     ///< ended in a wrong result without an error
  std::int64_t untyped = 0;    ///< ended in another exception, or an error that names no file
  std::int64_t leftovers = 0;  ///< left a file behind

  FaultCounts& operator+=(const FaultCounts& other) {
    injected += other.injected;
    refused += other.refused;
    harmless += other.harmless;
    silent += other.silent;
    untyped += other.untyped;
    leftovers += other.leftovers;
    return *this;
  }
};

inline bool same_block(const Block& a, const Block& b) {
  return a.values.shape() == b.values.shape() && a.values == b.values && a.valid == b.valid;
}

/// Runs `work`, which returns whether its result is right, and counts what became of it.
inline void count_outcome(FaultCounts& counts, const std::string& file,
                          const std::function<bool()>& work) {
  ++counts.injected;
  try {
    work() ? ++counts.harmless : ++counts.silent;
  } catch (const Error& error) {
    contains(error.what(), file) ? ++counts.refused : ++counts.untyped;
  } catch (const std::exception&) {
    ++counts.untyped;
  }
}

struct ReadCase {
  std::string name;
  std::vector<const char*> creation;
  const char* driver = "GTiff";
  bool mask = false;
};

inline std::vector<ReadCase> read_cases() {
  return {{"tiled", {"TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"}},
          {"deflate",
           {"TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "COMPRESS=DEFLATE", "PREDICTOR=3"}},
          {"lzw strips with a mask", {"COMPRESS=LZW", "BLOCKYSIZE=8"}, "GTiff", true}};
}

inline void make_case(const std::filesystem::path& path, const ReadCase& kind) {
  CPLSetThreadLocalConfigOption("GDAL_TIFF_INTERNAL_MASK", "YES");
  make_raster(
      path, {.rows = 97,
             .columns = 89,
             .bands = 2,
             .value = [](int band, int row,
                         int column) { return (band * 31 + row * 7919 + column * 104729) % 9973; },
             .creation = kind.creation,
             .finish =
                 [&](GDALDataset& dataset) {
                   if (!kind.mask) return;
                   dataset.CreateMaskBand(GMF_PER_DATASET);
                   GDALRasterBand& mask = *dataset.GetRasterBand(1)->GetMaskBand();
                   mask.Fill(255);
                   std::vector<std::uint8_t> zeros(400, 0);
                   if (mask.RasterIO(GF_Write, 3, 5, 20, 20, zeros.data(), 20, 20, GDT_Byte, 0, 0,
                                     nullptr) != CE_None) {
                     throw std::runtime_error("no mask");
                   }
                 },
             .driver = kind.driver});
  CPLSetThreadLocalConfigOption("GDAL_TIFF_INTERNAL_MASK", nullptr);
}

/// Reads in windows that do not fit the blocks.
inline Block read_in_pieces(const std::filesystem::path& path) {
  const RasterReader reader(path);
  const Grid& grid = reader.grid();
  const auto bands = static_cast<std::int64_t>(reader.info().bands.size());
  Block whole{make_array<ValueArray>(bands, grid.rows, grid.columns),
              make_array<ValidArray>(bands, grid.rows, grid.columns)};
  constexpr std::int64_t step = 41;
  for (std::int64_t row = 0; row < grid.rows; row += step) {
    const std::int64_t rows = std::min(step, grid.rows - row);
    const Block part = reader.read({row, 0, rows, grid.columns});
    for (std::int64_t band = 0; band < bands; ++band) {
      const std::int64_t from = band * rows * grid.columns;
      const std::int64_t to = (band * grid.rows + row) * grid.columns;
      std::copy_n(part.values.data() + from, rows * grid.columns, whole.values.data() + to);
      std::copy_n(part.valid.data() + from, rows * grid.columns, whole.valid.data() + to);
    }
  }
  return whole;
}

/// Every `step`-th open, read and close of reading a raster fails, once and from then on.
inline FaultCounts fail_every_read(const ReadCase& kind, std::int64_t step) {
  FaultyFiles& files = FaultyFiles::instance();
  files.disarm();
  const std::filesystem::path path = files / "input.tif";
  make_case(path, kind);
  files.disarm();
  const Block expected = read_in_pieces(path);
  std::int64_t calls[7] = {};
  for (const Fault fault : {Fault::open, Fault::read, Fault::close}) {
    calls[static_cast<int>(fault)] = files.calls(fault);
  }
  FaultCounts counts;
  for (const Fault fault : {Fault::open, Fault::read, Fault::close}) {
    for (std::int64_t nth = 1; nth <= calls[static_cast<int>(fault)]; nth += step) {
      for (const bool lasting : {false, true}) {
        files.arm(fault, nth, lasting);
        count_outcome(counts, "input.tif",
                      [&] { return same_block(read_in_pieces(path), expected); });
        if (files.injected() == 0) --counts.injected;
      }
    }
  }
  files.disarm();
  std::filesystem::remove(path);
  return counts;
}

struct WriteCase {
  std::string name;
  Compression compression = Compression::deflate;
  bool overwrite = false;  ///< an older raster stands under the name and must survive
};

inline std::vector<WriteCase> write_cases() {
  return {{"none", Compression::none},
          {"deflate", Compression::deflate},
          {"overwriting", Compression::lzw, true}};
}

inline void write_case(const std::filesystem::path& path, const WriteCase& kind,
                       const ValueArray& values) {
  Grid grid;
  grid.rows = static_cast<std::int64_t>(values.shape(1));
  grid.columns = static_cast<std::int64_t>(values.shape(2));
  grid.georeferenced = true;
  RasterWriterOptions options{.compression = kind.compression, .tile = 32};
  options.overwrite = kind.overwrite;
  options.metadata = {{"DEEPLIGHT_MODEL", "none"}};
  RasterWriter writer(path, grid, 1, options);
  constexpr std::int64_t step = 32;
  for (std::int64_t row = 0; row < grid.rows; row += step) {
    const std::int64_t rows = std::min(step, grid.rows - row);
    ValueArray part = make_array<ValueArray>(1, rows, grid.columns);
    std::copy_n(values.data() + row * grid.columns, rows * grid.columns, part.data());
    writer.write({row, 0, rows, grid.columns}, part);
  }
  writer.close();
}

/// Every `step`-th call of every kind but reading fails while a raster is written. A failing read
/// is left out: GDAL reads its own directory back, and libtiff 4.5 crashes where it cannot.
inline FaultCounts fail_every_write(const WriteCase& kind, std::int64_t step) {
  FaultyFiles& files = FaultyFiles::instance();
  files.disarm();
  const std::filesystem::path path = files / "output.tif";
  ValueArray values = make_array<ValueArray>(1, 130, 97);
  for (std::size_t index = 0; index < values.size(); ++index) {
    values.data()[index] = static_cast<float>(index * 2654435761U % 65536) / 7.0F + 1.0F;
  }
  ValueArray old = values;
  old += 1.0F;
  write_case(path, kind, values);
  std::int64_t calls[7] = {};
  for (int fault = 1; fault < 7; ++fault) calls[fault] = files.calls(static_cast<Fault>(fault));
  FaultCounts counts;
  for (int fault = 1; fault < 7; ++fault) {
    if (static_cast<Fault>(fault) == Fault::read) continue;
    for (std::int64_t nth = 1; nth <= calls[fault]; nth += step) {
      for (const bool lasting : {false, true}) {
        files.disarm();
        std::filesystem::remove(path);
        if (kind.overwrite) write_case(path, kind, old);
        files.arm(static_cast<Fault>(fault), nth, lasting);
        const std::int64_t refused = counts.refused + counts.untyped;
        count_outcome(counts, "output.tif", [&] {
          write_case(path, kind, values);
          files.disarm();
          return RasterReader(path).read().values == values;
        });
        const bool failed = counts.refused + counts.untyped > refused;
        files.disarm();
        // After an error nothing new stands there, and what stood there is whole.
        if (failed && kind.overwrite && !(RasterReader(path).read().values == old)) ++counts.silent;
        if (failed && !kind.overwrite && std::filesystem::exists(path)) ++counts.silent;
        const std::size_t expected = !failed || kind.overwrite ? 1 : 0;
        if (files.files() != expected) {
          ++counts.leftovers;
          for (const auto& entry : std::filesystem::directory_iterator(files.path())) {
            if (entry.path() != path) std::filesystem::remove(entry.path());
          }
        }
      }
    }
  }
  std::filesystem::remove(path);
  return counts;
}

/// Ends of all blocks of a GeoTIFF, in bytes from its start.
inline std::set<std::uintmax_t> block_edges(const std::filesystem::path& path) {
  const GdalErrors quiet;
  GDALDataset* dataset = GDALDataset::FromHandle(GDALOpen(path.c_str(), GA_ReadOnly));
  std::set<std::uintmax_t> edges;
  for (int band = 1; band <= dataset->GetRasterCount(); ++band) {
    GDALRasterBand& data = *dataset->GetRasterBand(band);
    int width = 0, height = 0;
    data.GetBlockSize(&width, &height);
    for (int row = 0; row * height < dataset->GetRasterYSize(); ++row) {
      for (int column = 0; column * width < dataset->GetRasterXSize(); ++column) {
        const std::string key = concat(column, "_", row);
        const char* offset = data.GetMetadataItem(("BLOCK_OFFSET_" + key).c_str(), "TIFF");
        const char* bytes = data.GetMetadataItem(("BLOCK_SIZE_" + key).c_str(), "TIFF");
        if (offset == nullptr || bytes == nullptr) continue;
        edges.insert(std::strtoull(offset, nullptr, 10));
        edges.insert(std::strtoull(offset, nullptr, 10) + std::strtoull(bytes, nullptr, 10));
      }
    }
  }
  GDALClose(dataset);
  return edges;
}

/// Cuts a raster off at each edge of its blocks, one byte before and one behind.
inline FaultCounts truncate_at_block_edges(const ReadCase& kind) {
  const TemporaryFolder folder;
  make_case(folder / "whole.tif", kind);
  const std::uintmax_t size = std::filesystem::file_size(folder / "whole.tif");
  FaultCounts counts;
  for (const std::uintmax_t edge : block_edges(folder / "whole.tif")) {
    for (const std::uintmax_t at : {edge - 1, edge, edge + 1}) {
      if (at >= size) continue;
      std::filesystem::copy_file(folder / "whole.tif", folder / "cut.tif",
                                 std::filesystem::copy_options::overwrite_existing);
      std::filesystem::resize_file(folder / "cut.tif", at);
      count_outcome(counts, "cut.tif", [&] {
        read_in_pieces(folder / "cut.tif");
        return false;
      });
    }
  }
  return counts;
}

/// Flips one to eight bits or overwrites a run of bytes. A flipped bit of stored values cannot be
/// noticed (GeoTIFF has no checksums); what counts is an error of ours or values, never a crash.
inline FaultCounts flip_bits(const ReadCase& kind, std::mt19937_64& random, int rounds) {
  const TemporaryFolder folder;
  make_case(folder / "whole.tif", kind);
  std::ifstream stream(folder / "whole.tif", std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(stream), {}};
  FaultCounts counts;
  for (int round = 0; round < rounds; ++round) {
    std::string damaged = whole;
    const bool header = random() % 2 == 0;  // half of them where the directory lies
    const std::size_t range = header ? std::min<std::size_t>(whole.size(), 2048) : whole.size();
    const std::size_t flips = 1 + random() % 8;
    for (std::size_t flip = 0; flip < flips; ++flip) {
      damaged[random() % range] ^= static_cast<char>(1U << (random() % 8));
    }
    std::ofstream(folder / "flipped.tif", std::ios::binary) << damaged;
    count_outcome(counts, "flipped.tif", [&] {
      const Block block = read_in_pieces(folder / "flipped.tif");
      for (std::size_t index = 0; index < block.values.size(); ++index) {
        if (!std::isfinite(block.values.data()[index])) return false;
        if (block.valid.data()[index] == 0 && block.values.data()[index] != 0) return false;
      }
      return true;
    });
  }
  return counts;
}

}  // namespace deeplight::test
