// Writing float32 GeoTIFF: tiled, compressed, under a temporary name until it is whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/raster/array.hpp"
#include "deeplight/raster/grid.hpp"

namespace deeplight {

enum class Compression { none, deflate, lzw, zstd };
DEEPLIGHT_ENUM(Compression, {{Compression::none, "none"},
                             {Compression::deflate, "deflate"},
                             {Compression::lzw, "lzw"},
                             {Compression::zstd, "zstd"}})

struct RasterWriterOptions {
  Compression compression = Compression::deflate;
  std::int64_t tile = 256;  ///< side of the file's own tiles, a multiple of 16
  double nodata = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::string> band_names{};  ///< empty, or one for each band
  std::string units{};                    ///< of every band; empty writes none
  std::map<std::string, std::string> metadata{};
  bool overwrite = false;
  std::int64_t threads = 1;  ///< that compress; the bytes are the same
};

/// Whether a GeoTIFF of this many bytes of float32 may pass 4 GiB and needs 64-bit offsets.
/// Counts whole tiles, their directory, and the little by which compression can grow noise.
bool needs_bigtiff(std::int64_t rows, std::int64_t columns, std::int64_t bands, std::int64_t tile);

/// Checks that `path` can become a file: its folder exists and is writable, and it is free (or
/// `overwrite`). @throws FileError naming the path
void check_writable(const std::filesystem::path& path, bool overwrite);

/// A GeoTIFF being written. Nothing stands under `path` until `close` returns.
class RasterWriter {
 public:
  /// @throws FileError        the folder is missing or not writable, the file exists
  /// @throws InvalidArgument  sizes below 1, tile no multiple of 16, band names of another count
  RasterWriter(const std::filesystem::path& path, const Grid& grid, std::int64_t bands = 1,
               const RasterWriterOptions& options = {});
  /// Removes the temporary file unless `close` came first.
  ~RasterWriter();
  RasterWriter(RasterWriter&&) noexcept;
  RasterWriter& operator=(RasterWriter&&) noexcept;

  /// @param values  [bands, rows, columns] of the window
  /// @param valid   the same shape, or null for all valid; nodata is written where it is 0
  /// @throws FileError  the driver or the disk refused
  void write(const Window& window, const ValueArray& values, const ValidArray* valid = nullptr);

  /// Writes a metadata item that is known only at the end.
  void set_metadata(const std::string& name, const std::string& value);

  /// Flushes, checks that the file is whole and on disk, gives it its name.
  /// @throws FileError  nothing is left behind then
  void close();

  const std::filesystem::path& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/raster_writer_inl.hpp"
#endif
