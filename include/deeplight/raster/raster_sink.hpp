// Where finished pixels go, whatever the format: a new one is one class and one line in `sinks`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "deeplight/core/config.hpp"
#include "deeplight/raster/raster_writer.hpp"

namespace deeplight {

/// A raster being written. Nothing stands under its name until `close` returns; the destructor
/// removes what was not closed.
class RasterSink {
 public:
  virtual ~RasterSink() = default;
  /// Sides of the rectangles that are best written: windows come as multiples of it, row by row,
  /// each pixel once, edges aside.
  virtual std::int64_t block() const = 0;
  /// @param values  [bands, rows, columns] of the window
  /// @param valid   the same shape; nodata is written where it is 0
  /// @throws FileError  the driver or the disk refused
  virtual void write(const Window& window, const ValueArray& values, const ValidArray& valid) = 0;
  /// Flushes, checks, syncs, renames. @throws FileError  and nothing is left behind
  virtual void close() = 0;
};

using SinkFactory = std::function<std::unique_ptr<RasterSink>(const std::filesystem::path& path,
                                                              const Grid& grid, std::int64_t bands,
                                                              const RasterWriterOptions& options)>;

/// Formats that are written, by name.
const std::map<std::string, SinkFactory>& sinks();

/// `requested`, or what the name of the file says where that is empty.
/// @throws InvalidArgument  an unknown format, with the known ones
std::string sink_format(const std::filesystem::path& path, const std::string& requested);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/raster_sink_inl.hpp"
#endif
