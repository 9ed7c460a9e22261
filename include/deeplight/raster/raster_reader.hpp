// Reading rasters: description and windows with validity, through GDAL.
//
// Values come as float32 [bands, rows, columns] with a validity of the same shape. Alpha bands are
// not bands: they, mask files, nodata values, NaN and infinities become validity.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/raster/array.hpp"
#include "deeplight/raster/band_info.hpp"
#include "deeplight/raster/grid.hpp"
#include "deeplight/raster/raster_source.hpp"

namespace deeplight {

/// What a file states about itself.
struct RasterInfo {
  std::string path{};
  std::string driver{};  ///< GDAL's short name, e.g. "GTiff"
  Grid grid;
  std::vector<BandInfo> bands{};  ///< without alpha
  bool has_alpha = false;
  std::int64_t block_rows = 0;  ///< the file's own tile, the smallest unit that is read
  std::int64_t block_columns = 0;
  std::map<std::string, std::string> metadata{};

  /// Several lines for people.
  std::string text() const;
};

/// What is refused before anything is allocated.
struct RasterLimits {
  std::int64_t pixels = std::int64_t{1} << 40;
  std::int64_t bands = 4096;
  std::int64_t block_bytes = std::int64_t{512} << 20;
  std::int64_t read_bytes = std::int64_t{4} << 30;  ///< of one `read`, values and validity
  /// Uncompressed bytes per byte of file, above 256 MiB: a sparse GeoTIFF reaches 2^18 with
  /// 512-pixel tiles, a file of 1 KB that claims 2^31 pixels lies far above.
  std::int64_t expansion = std::int64_t{1} << 18;
};

/// An open raster. Copies share the file; `read` may be called from any thread, one at a time
/// works.
class RasterReader {
 public:
  /// @param path  a file, a GDAL name such as `HDF5:"f.h5"://lights` or `/vsizip/f.zip/a.tif` (see
  /// `check_raster_name`), or several of one grid, their bands read as one: `b1.tif,b2.tif`
  /// @throws InvalidArgument  a name that reaches beyond files of this machine
  /// @throws FileError    missing or not readable
  /// @throws FormatError  not a raster of an allowed format, without bands, complex, over a limit,
  /// a VRT with a source of the kind
  /// @throws GridMismatch  several rasters of different grids
  explicit RasterReader(const std::filesystem::path& path, const RasterLimits& limits = {});

  /// Takes over an open GDALDatasetH (its deleter closes it); `name` stands in messages.
  static RasterReader adopt(std::shared_ptr<void> dataset, const std::string& name,
                            const RasterLimits& limits = {});

  /// The bands of all, one after the other. @throws GridMismatch  they differ in grid
  static RasterReader stack(std::vector<RasterReader> parts, const RasterLimits& limits = {});

  using ReadWindow =
      std::function<Block(const Window& window, const std::vector<std::int64_t>& bands)>;
  /// A raster whose windows are computed when they are read; `bands` is never empty.
  static RasterReader compose(RasterInfo info, ReadWindow read_window,
                              const RasterLimits& limits = {});

  const RasterInfo& info() const;
  const Grid& grid() const { return info().grid; }

  /// @param window  inside the raster
  /// @param bands   counted from 0; empty reads all
  /// @throws InvalidArgument  window or band outside the raster, or the read above its limit
  /// @throws FormatError      a block cannot be decoded; the message names band and block
  /// @throws OutOfMemory      the window does not fit into memory
  Block read(const Window& window, const std::vector<std::int64_t>& bands = {}) const;
  /// All bands into `block`, whose memory is used again where its size fits.
  void read(const Window& window, Block& block) const;
  /// Stored integers of one band, [rows * columns], as they are: bits of a quality band.
  /// @throws InvalidArgument  as `read`; a band that holds no integers of at most 32 bits
  std::vector<std::uint32_t> read_bits(const Window& window, std::int64_t band = 0) const;
  /// The whole raster.
  Block read() const { return read({0, 0, grid().rows, grid().columns}); }

 private:
  struct State;
  RasterReader() = default;
  std::vector<std::int64_t> check_read(const Window& window, std::vector<std::int64_t> bands) const;
  void read_into(const Window& window, const std::vector<std::int64_t>& bands, Block& block) const;
  std::shared_ptr<const State> state_;
};

/// Opens, describes, closes.
inline RasterInfo raster_info(const std::filesystem::path& path) {
  return RasterReader(path).info();
}

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/raster_reader_inl.hpp"
#endif
