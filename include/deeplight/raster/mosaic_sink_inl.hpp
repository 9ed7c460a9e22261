// Definitions of mosaic_sink.hpp.
#pragma once

#include <cpl_conv.h>
#include <cpl_string.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <system_error>
#include <vector>

#include "deeplight/core/atomic_file.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/core/remove_tree.hpp"
#include "deeplight/raster/mosaic_sink.hpp"
#include "deeplight/raster/raster_format.hpp"
#include "deeplight/raster/raster_writer_inl.hpp"

namespace deeplight {

namespace detail {

/// The VRT while it lies among its parts, not yet under its name.
inline constexpr const char* unnamed_mosaic = "mosaic.vrt";

inline std::string part_name(std::int64_t row, std::int64_t column) {
  return concat(row, "-", column, ".tif");
}

inline std::string xml_text(const std::string& text) {
  const std::unique_ptr<char, void (*)(void*)> escaped(
      CPLEscapeString(text.c_str(), static_cast<int>(text.size()), CPLES_XML), CPLFree);
  return escaped.get();
}

inline std::string xml_number(double value) {
  return CPLSPrintf("%.17g", value);
}

/// Rows and columns `window` of arrays over `around`.
template <class Array>
Array part_of_array(const Array& array, const Window& window, const Window& around) {
  const auto bands = static_cast<std::int64_t>(array.shape(0));
  Array part = make_array<Array>(bands, window.rows, window.columns);
  for (std::int64_t band = 0; band < bands; ++band) {
    for (std::int64_t row = 0; row < window.rows; ++row) {
      const std::int64_t from =
          (band * around.rows + window.row - around.row + row) * around.columns + window.column -
          around.column;
      std::copy_n(array.data() + from, window.columns,
                  part.data() + (band * window.rows + row) * window.columns);
    }
  }
  return part;
}

}  // namespace detail

DEEPLIGHT_INLINE std::filesystem::path parts_of_mosaic(const std::filesystem::path& mosaic) {
  std::filesystem::path parts = mosaic;
  parts += ".parts";
  return parts;
}

DEEPLIGHT_INLINE bool is_unfinished_mosaic(const std::filesystem::path& parts) {
  std::error_code error;
  return std::filesystem::exists(parts / detail::unnamed_mosaic, error);
}

DEEPLIGHT_INLINE void check_mosaic(const std::filesystem::path& path, Compression compression) {
  require(path.extension() == ".vrt", "the mosaic '", path.string(), "' must be called .vrt");
  check_derivable(path, DerivedFormat::gtiff_overviews, compression);
  std::error_code error;
  require<FileError>(!std::filesystem::exists(path, error), "the mosaic '", path.string(),
                     "' exists already; a mosaic is not replaced: remove it and its parts");
  const std::filesystem::path parts = parts_of_mosaic(path);
  require<FileError>(!std::filesystem::exists(parts, error) || is_unfinished_mosaic(parts),
                     "the folder '", parts.string(), "' for the parts of '", path.string(),
                     "' exists already: remove it");
}

DEEPLIGHT_INLINE MosaicSink::MosaicSink(const std::filesystem::path& path, const Grid& grid,
                                        std::int64_t bands, const RasterWriterOptions& options,
                                        std::int64_t side)
    : path_((check_mosaic(path, options.compression), check_writable(path, false), path)),
      folder_(detail::temporary_name(path)),
      grid_(grid),
      bands_(bands),
      side_(side),
      options_(options) {
  require(side >= options.tile && side % options.tile == 0, "the parts of '", path.string(),
          "' must be multiples of its tile ", options.tile, ", got ", side);
  std::error_code error;
  std::filesystem::create_directory(folder_, error);
  require<FileError>(!error, "the folder '", folder_.string(),
                     "' cannot be created: ", error.message());
}

DEEPLIGHT_INLINE MosaicSink::~MosaicSink() {
  open_.clear();
  if (!folder_.empty()) remove_tree(folder_);
}

DEEPLIGHT_INLINE Window MosaicSink::window_of(Place place) const {
  const std::int64_t row = place.first * side_, column = place.second * side_;
  return {row, column, std::min(side_, grid_.rows - row), std::min(side_, grid_.columns - column)};
}

DEEPLIGHT_INLINE RasterWriter& MosaicSink::writer_of(Place place) {
  std::unique_ptr<RasterWriter>& writer = open_[place];
  if (writer == nullptr) {
    writer = std::make_unique<RasterWriter>(folder_ / detail::part_name(place.first, place.second),
                                            grid_.cropped(window_of(place)), bands_, options_);
  }
  return *writer;
}

DEEPLIGHT_INLINE void MosaicSink::close_above(std::int64_t row) {
  while (!open_.empty() && open_.begin()->first.first < row) {
    open_.begin()->second->close();
    open_.erase(open_.begin());
  }
}

DEEPLIGHT_INLINE void MosaicSink::write(const Window& window, const ValueArray& values,
                                        const ValidArray& valid) {
  close_above(window.row / side_);
  for (std::int64_t down = window.row / side_; down * side_ < window.row + window.rows; ++down) {
    for (std::int64_t right = window.column / side_; right * side_ < window.column + window.columns;
         ++right) {
      const Window part = window_of({down, right});
      const Window both = part.intersection(window);
      const ValidArray seen = detail::part_of_array(valid, both, window);
      writer_of({down, right})
          .write({both.row - part.row, both.column - part.column, both.rows, both.columns},
                 detail::part_of_array(values, both, window), &seen);
    }
  }
}

DEEPLIGHT_INLINE std::string MosaicSink::description() const {
  using detail::xml_text;
  std::string text =
      concat("<VRTDataset rasterXSize=\"", grid_.columns, "\" rasterYSize=\"", grid_.rows, "\">\n");
  if (!grid_.crs_wkt.empty()) text += "<SRS>" + xml_text(grid_.crs_wkt) + "</SRS>\n";
  if (grid_.georeferenced) {
    std::vector<std::string> numbers;
    for (const double value : grid_.geotransform) numbers.push_back(detail::xml_number(value));
    text += "<GeoTransform>" + joined(numbers) + "</GeoTransform>\n";
  }
  text += "<Metadata>\n";
  for (const auto& [key, value] : options_.metadata) {
    text += concat("<MDI key=\"", xml_text(key), "\">", xml_text(value), "</MDI>\n");
  }
  text += "</Metadata>\n";
  const std::string folder = parts_of_mosaic(path_).filename().string();
  for (std::int64_t band = 0; band < bands_; ++band) {
    text += concat("<VRTRasterBand dataType=\"Float32\" band=\"", band + 1, "\">\n");
    if (!options_.band_names.empty()) {
      const std::string& name = options_.band_names[static_cast<std::size_t>(band)];
      text += "<Description>" + xml_text(name) + "</Description>\n";
    }
    text += "<NoDataValue>" + detail::xml_number(options_.nodata) + "</NoDataValue>\n";
    if (!options_.units.empty()) text += "<UnitType>" + xml_text(options_.units) + "</UnitType>\n";
    for (std::int64_t down = 0; down * side_ < grid_.rows; ++down) {
      for (std::int64_t right = 0; right * side_ < grid_.columns; ++right) {
        const Window part = window_of({down, right});
        const std::string size = concat("xSize=\"", part.columns, "\" ySize=\"", part.rows, "\"");
        text += concat("<SimpleSource><SourceFilename relativeToVRT=\"1\">",
                       xml_text(folder + "/" + detail::part_name(down, right)),
                       "</SourceFilename><SourceBand>", band + 1,
                       "</SourceBand><SourceProperties RasterXSize=\"", part.columns,
                       "\" RasterYSize=\"", part.rows, "\" DataType=\"Float32\" BlockXSize=\"",
                       options_.tile, "\" BlockYSize=\"", options_.tile,
                       "\"/><SrcRect xOff=\"0\" yOff=\"0\" ", size, "/><DstRect xOff=\"",
                       part.column, "\" yOff=\"", part.row, "\" ", size, "/></SimpleSource>\n");
      }
    }
    text += "</VRTRasterBand>\n";
  }
  return text + "</VRTDataset>\n";
}

DEEPLIGHT_INLINE void MosaicSink::close() {
  close_above(std::numeric_limits<std::int64_t>::max());
  write_file_atomically((folder_ / detail::unnamed_mosaic).string(), description());
  const std::filesystem::path parts = parts_of_mosaic(path_);
  const auto rename = [&](const std::filesystem::path& from, const std::filesystem::path& to) {
    std::error_code error;
    std::filesystem::rename(from, to, error);
    require<FileError>(!error, "'", path_.string(), "' cannot be written (", error.message(),
                       "); nothing was left behind");
    (void)detail::sync_file(detail::folder_of(to));
  };
  check_mosaic(path_, options_.compression);
  remove_tree(parts);
  rename(folder_, parts);
  folder_ = parts;  // goes too when what follows fails
  rename(parts / detail::unnamed_mosaic, path_);
  folder_.clear();
}

}  // namespace deeplight
