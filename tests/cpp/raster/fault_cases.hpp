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
    if (!contains(error.what(), file)) std::fprintf(stderr, "names no file: %s\n", error.what());
  } catch (const std::exception& error) {
    ++counts.untyped;
    std::fprintf(stderr, "%s: %s\n", file.c_str(), error.what());
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

/// Writing a raster while files fail: what is written, and what stood there before.
class FaultyWriting {
 public:
  explicit FaultyWriting(const WriteCase& kind) : kind_(kind) {
    values_ = make_array<ValueArray>(1, 130, 97);
    for (std::size_t index = 0; index < values_.size(); ++index) {
      values_.data()[index] = static_cast<float>(index * 2654435761U % 65536) / 7.0F + 1.0F;
    }
    old_ = values_ + 1.0F;
    files_.disarm();
    write_case(path_, kind_, values_);
    for (int fault = 1; fault < 7; ++fault) {
      calls_[fault] = files_.calls(static_cast<Fault>(fault));
    }
  }
  ~FaultyWriting() {
    files_.disarm();
    std::filesystem::remove(path_);
  }

  /// Of an undisturbed run.
  std::int64_t calls(Fault fault) const { return calls_[static_cast<int>(fault)]; }

  void run(Fault fault, std::int64_t nth, bool lasting, FaultCounts& counts) {
    files_.disarm();
    std::filesystem::remove(path_);
    if (kind_.overwrite) write_case(path_, kind_, old_);
    files_.arm(fault, nth, lasting);
    const std::int64_t refused = counts.refused + counts.untyped;
    count_outcome(counts, "output.tif", [&] {
      write_case(path_, kind_, values_);
      files_.disarm();
      return RasterReader(path_).read().values == values_;
    });
    const bool failed = counts.refused + counts.untyped > refused;
    files_.disarm();
    // After an error nothing new stands there, and what stood there is whole.
    if (failed && kind_.overwrite && !(RasterReader(path_).read().values == old_)) ++counts.silent;
    if (failed && !kind_.overwrite && std::filesystem::exists(path_)) ++counts.silent;
    if (files_.files() == (!failed || kind_.overwrite ? 1U : 0U)) return;
    ++counts.leftovers;
    for (const auto& entry : std::filesystem::directory_iterator(files_.path())) {
      if (entry.path() != path_) std::filesystem::remove(entry.path());
    }
  }

 private:
  FaultyFiles& files_ = FaultyFiles::instance();
  WriteCase kind_;
  std::filesystem::path path_ = files_ / "output.tif";
  ValueArray values_, old_;
  std::int64_t calls_[7] = {};
};

/// Kinds of calls that are failed while writing. Reading is left out: GDAL reads its own directory
/// back, and libtiff 4.5 crashes where it cannot.
inline constexpr std::array write_faults{Fault::open, Fault::write, Fault::flush, Fault::truncate,
                                         Fault::close};

/// Every `step`-th call fails while a raster is written.
inline FaultCounts fail_every_write(const WriteCase& kind, std::int64_t step) {
  FaultyWriting writing(kind);
  FaultCounts counts;
  for (const Fault fault : write_faults) {
    for (std::int64_t nth = 1; nth <= writing.calls(fault); nth += step) {
      for (const bool lasting : {false, true}) writing.run(fault, nth, lasting, counts);
    }
  }
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

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Bits flipped, a run zeroed or repeated, the end cut off: half the time in the first 2 KiB,
/// where headers lie.
inline std::string damaged_copy(const std::string& whole, std::mt19937_64& random) {
  std::string damaged = whole;
  const std::size_t range =
      random() % 2 == 0 ? std::min<std::size_t>(whole.size(), 2048) : whole.size();
  const std::size_t start = random() % range;
  const std::size_t length = std::min<std::size_t>(1 + random() % 64, whole.size() - start);
  switch (random() % 6) {
    case 0:
      damaged.resize(start);
      break;
    case 1:
      std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(start), length, '\0');
      break;
    case 2:
      damaged.insert(start, whole.substr(start, length));
      break;
    default:
      for (std::size_t flips = 1 + random() % 8; flips > 0; --flips) {
        damaged[random() % range] ^= static_cast<char>(1U << (random() % 8));
      }
  }
  return damaged;
}

/// Reads damaged copies of a raster. A flipped bit of stored values cannot be noticed (GeoTIFF has
/// no checksums); what counts is an error of ours or values, never a crash or a number that is not
/// finite.
inline FaultCounts damage(const std::filesystem::path& path, const std::filesystem::path& copy,
                          std::mt19937_64& random, int rounds) {
  const std::string whole = bytes_of(path);
  FaultCounts counts;
  for (int round = 0; round < rounds; ++round) {
    std::ofstream(copy, std::ios::binary) << damaged_copy(whole, random);
    count_outcome(counts, copy.filename().string(), [&] {
      const RasterReader reader(copy);
      const Grid& grid = reader.grid();
      const Block block = reader.read({0, 0, std::min<std::int64_t>(grid.rows, 512),
                                       std::min<std::int64_t>(grid.columns, 512)});
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
