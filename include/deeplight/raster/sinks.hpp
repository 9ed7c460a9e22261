// Formats that are written, by name: a new one is a RasterSink and one line here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "deeplight/core/config.hpp"
#include "deeplight/raster/raster_sink.hpp"

namespace deeplight {

/// A format that is written.
struct SinkFormat {
  std::function<std::unique_ptr<RasterSink>(const std::filesystem::path& path, const Grid& grid,
                                            std::int64_t bands, const RasterWriterOptions& options)>
      open;
  /// What the format refuses, before work begins: see `check_sink`.
  std::function<void(const std::filesystem::path& path, Compression compression)> check;
};

/// Formats that are written, by name.
const std::map<std::string, SinkFormat>& sinks();

/// `requested`, or what the name of the file says where that is empty.
/// @throws InvalidArgument  an unknown format, with the known ones
std::string sink_format(const std::filesystem::path& path, const std::string& requested);

/// Checks before work begins what a format would otherwise refuse when all is computed: its name,
/// its compression, what this GDAL can write.
/// @throws InvalidArgument, FileError
void check_sink(const std::filesystem::path& path, const std::string& requested,
                Compression compression);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/sinks_inl.hpp"
#endif
