// A raster in parts: a VRT mosaic and a folder of GeoTIFFs beside it.
//
// `sr.vrt` refers to `sr.vrt.parts/ROW-COLUMN.tif`, of at most 8192 x 8192 pixels each: files that
// can be copied and read one by one where a single one would be too large. The folder is written
// under a temporary name; the VRT, which makes it a raster, gets its name last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "deeplight/core/config.hpp"
#include "deeplight/raster/raster_sink.hpp"
#include "deeplight/raster/raster_writer.hpp"

namespace deeplight {

/// Where the parts of a mosaic lie.
std::filesystem::path parts_of_mosaic(const std::filesystem::path& mosaic);

/// Whether `parts` was left by a run that was killed before its mosaic had a name.
bool is_unfinished_mosaic(const std::filesystem::path& parts);

/// Checks format, compression and name before work begins.
/// @throws InvalidArgument  not called `.vrt`; this GDAL lacks the compression
/// @throws FileError        it exists, or its parts do: a folder is not replaced
void check_mosaic(const std::filesystem::path& path, Compression compression);

class MosaicSink final : public RasterSink {
 public:
  /// @param side  of a part, pixels, a multiple of the options' tile
  /// @throws FileError, InvalidArgument  as `check_mosaic` and RasterWriter
  MosaicSink(const std::filesystem::path& path, const Grid& grid, std::int64_t bands,
             const RasterWriterOptions& options, std::int64_t side = 8192);
  ~MosaicSink() override;
  std::int64_t block() const override { return options_.tile; }
  void write(const Window& window, const ValueArray& values, const ValidArray& valid) override;
  void close() override;

 private:
  using Place = std::pair<std::int64_t, std::int64_t>;  // of a part, counted in parts

  Window window_of(Place place) const;
  RasterWriter& writer_of(Place place);
  void close_above(std::int64_t row);
  std::string description() const;

  std::filesystem::path path_, folder_;
  Grid grid_;
  std::int64_t bands_, side_;
  RasterWriterOptions options_;
  std::map<Place, std::unique_ptr<RasterWriter>> open_;
};

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/mosaic_sink_inl.hpp"
#endif
