// Finished GeoTIFFs become what was asked for: Cloud-Optimized GeoTIFF, Zarr, GeoTIFF with
// overviews.
//
// These formats cannot be written in one pass in order; they are made from a GeoTIFF that is whole,
// under a temporary name, checked and renamed like it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/raster/raster_sink.hpp"
#include "deeplight/raster/raster_writer.hpp"

namespace deeplight {

/// gtiff_overviews: internal overviews, averages of valid pixels, down to 256 pixels.
/// cog: the same in the layout that is read in parts over the network.
/// zarr: a folder, Zarr version 2 as GDAL writes it, without overviews; `units` and `long_name` are
/// attributes of each array.
enum class DerivedFormat { gtiff_overviews, cog, zarr };
DEEPLIGHT_ENUM(DerivedFormat, {{DerivedFormat::gtiff_overviews, "gtiff-overviews"},
                               {DerivedFormat::cog, "cog"},
                               {DerivedFormat::zarr, "zarr"}})

/// Makes `path` from the GeoTIFF `source`, which is consumed.
/// @throws FileError        the driver or the disk refused; nothing is left behind
/// @throws InvalidArgument  this GDAL cannot write the format or the compression
void derive_raster(const std::filesystem::path& source, const std::filesystem::path& path,
                   DerivedFormat format, Compression compression, bool overwrite);

/// A sink of such a format: writes a GeoTIFF beside the output, then derives.
class DerivedSink final : public RasterSink {
 public:
  DerivedSink(DerivedFormat format, const std::filesystem::path& path, const Grid& grid,
              std::int64_t bands, const RasterWriterOptions& options);
  ~DerivedSink() override;
  std::int64_t block() const override { return block_; }
  void write(const Window& window, const ValueArray& values, const ValidArray& valid) override {
    writer_.write(window, values, &valid);
  }
  void close() override;

 private:
  DerivedFormat format_;
  std::filesystem::path path_, source_;
  RasterWriterOptions options_;
  RasterWriter writer_;
  std::int64_t block_;
};

/// Checks format, compression and name before work begins.
/// @throws InvalidArgument  this GDAL lacks the driver; a Zarr that is not called `.zarr`
/// @throws FileError        a Zarr that exists: a folder is not replaced
void check_derivable(const std::filesystem::path& path, DerivedFormat format,
                     Compression compression);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/raster_format_inl.hpp"
#endif
