// Where finished pixels go, whatever the format; see sinks.hpp for the formats by name.
#pragma once

#include <cstdint>

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

}  // namespace deeplight
