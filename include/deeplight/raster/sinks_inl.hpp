// Definitions of sinks.hpp.
#pragma once

#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/nearest_name.hpp"
#include "deeplight/raster/mosaic_sink.hpp"
#include "deeplight/raster/raster_format.hpp"
#include "deeplight/raster/sinks.hpp"

namespace deeplight {

namespace detail {

class GeoTiffSink final : public RasterSink {
 public:
  GeoTiffSink(const std::filesystem::path& path, const Grid& grid, std::int64_t bands,
              const RasterWriterOptions& options)
      : writer_(path, grid, bands, options), block_(options.tile) {}
  std::int64_t block() const override { return block_; }
  void write(const Window& window, const ValueArray& values, const ValidArray& valid) override {
    writer_.write(window, values, &valid);
  }
  void close() override { writer_.close(); }

 private:
  RasterWriter writer_;
  std::int64_t block_;
};

/// What GDAL must be able to write for a format.
inline auto check_of(DerivedFormat format) {
  return [format](const std::filesystem::path& path, Compression compression) {
    check_derivable(path, format, compression);
  };
}

template <class Sink, class Check>
SinkFormat sink_format_of(const Check& check) {
  return {[](const std::filesystem::path& path, const Grid& grid, std::int64_t bands,
             const RasterWriterOptions& options) {
            return std::make_unique<Sink>(path, grid, bands, options);
          },
          check};
}

inline SinkFormat derived(DerivedFormat format) {
  return {[format](const std::filesystem::path& path, const Grid& grid, std::int64_t bands,
                   const RasterWriterOptions& options) {
            return std::make_unique<DerivedSink>(format, path, grid, bands, options);
          },
          check_of(format)};
}

}  // namespace detail

DEEPLIGHT_INLINE const std::map<std::string, SinkFormat>& sinks() {
  using enum DerivedFormat;
  static const std::map<std::string, SinkFormat> all = {
      {"gtiff", detail::sink_format_of<detail::GeoTiffSink>(detail::check_of(gtiff_overviews))},
      {"gtiff-overviews", detail::derived(gtiff_overviews)},
      {"cog", detail::derived(cog)},
      {"vrt", detail::sink_format_of<MosaicSink>(check_mosaic)},
      {"zarr", detail::derived(zarr)},
  };
  return all;
}

DEEPLIGHT_INLINE std::string sink_format(const std::filesystem::path& path,
                                         const std::string& requested) {
  std::vector<std::string> known;
  for (const auto& [name, format] : sinks()) known.push_back(name);
  require(requested.empty() || sinks().count(requested) == 1, "output '", path.string(),
          "': format '", requested, "' is not one of ", joined(known));
  if (!requested.empty()) return requested;
  if (path.extension() == ".zarr") return "zarr";
  return path.extension() == ".vrt" ? "vrt" : "gtiff";
}

DEEPLIGHT_INLINE void check_sink(const std::filesystem::path& path, const std::string& requested,
                                 Compression compression) {
  sinks().at(sink_format(path, requested)).check(path, compression);
}

}  // namespace deeplight
