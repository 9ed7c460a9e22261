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

template <class Sink>
SinkFactory sink_factory() {
  return [](const std::filesystem::path& path, const Grid& grid, std::int64_t bands,
            const RasterWriterOptions& options) {
    return std::make_unique<Sink>(path, grid, bands, options);
  };
}

inline SinkFactory derived_factory(DerivedFormat format) {
  return [format](const std::filesystem::path& path, const Grid& grid, std::int64_t bands,
                  const RasterWriterOptions& options) {
    return std::make_unique<DerivedSink>(format, path, grid, bands, options);
  };
}

}  // namespace detail

DEEPLIGHT_INLINE const std::map<std::string, SinkFactory>& sinks() {
  static const std::map<std::string, SinkFactory> all = {
      {"gtiff", detail::sink_factory<detail::GeoTiffSink>()},
      {"gtiff-overviews", detail::derived_factory(DerivedFormat::gtiff_overviews)},
      {"cog", detail::derived_factory(DerivedFormat::cog)},
      {"vrt", detail::sink_factory<MosaicSink>()},
      {"zarr", detail::derived_factory(DerivedFormat::zarr)},
  };
  return all;
}

DEEPLIGHT_INLINE std::string sink_format(const std::filesystem::path& path,
                                         const std::string& requested) {
  std::vector<std::string> known;
  for (const auto& [name, factory] : sinks()) known.push_back(name);
  require(requested.empty() || sinks().count(requested) == 1, "output '", path.string(),
          "': format '", requested, "' is not one of ", joined(known));
  if (!requested.empty()) return requested;
  if (path.extension() == ".zarr") return "zarr";
  return path.extension() == ".vrt" ? "vrt" : "gtiff";
}

DEEPLIGHT_INLINE void check_sink(const std::filesystem::path& path, const std::string& requested,
                                 Compression compression) {
  const std::string format = sink_format(path, requested);
  if (format == "vrt") {
    check_mosaic(path, compression);
  } else if (format == "cog" || format == "zarr") {
    check_derivable(path, enum_from_string<DerivedFormat>(format), compression);
  } else {
    check_derivable(path, DerivedFormat::gtiff_overviews, compression);
  }
}

}  // namespace deeplight
