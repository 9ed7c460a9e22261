// Definitions of raster_reader.hpp: rasters composed of others, stored bits, descriptions.
#pragma once

#include <gdal_priv.h>

#include <algorithm>
#include <new>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/gdal_errors.hpp"
#include "deeplight/raster/raster_reader_inl.hpp"

namespace deeplight {

DEEPLIGHT_INLINE RasterReader RasterReader::compose(RasterInfo info, ReadWindow read_window,
                                                    const RasterLimits& limits) {
  require(read_window != nullptr && !info.bands.empty(), "'", info.path,
          "' is composed of nothing: a function and at least one band are needed");
  auto state = std::make_shared<State>();
  state->info = std::move(info);
  state->limits = limits;
  state->read_window = std::move(read_window);
  RasterReader reader;
  reader.state_ = std::move(state);
  return reader;
}

DEEPLIGHT_INLINE RasterReader RasterReader::stack(std::vector<RasterReader> parts,
                                                  const RasterLimits& limits) {
  require(!parts.empty(), "a stack of no rasters");
  if (parts.size() == 1) return parts.front();
  RasterInfo info = parts.front().info();
  std::vector<std::pair<std::size_t, std::int64_t>> places;  // part and band of each band
  info.bands.clear();
  info.path.clear();
  for (std::size_t index = 0; index < parts.size(); ++index) {
    const RasterInfo& part = parts[index].info();
    const Grid& first = parts.front().grid();
    require<GridMismatch>(part.grid.rows == first.rows && part.grid.columns == first.columns, "'",
                          part.path, "' is ", part.grid.size_text(), " pixels, expected ",
                          first.size_text(), " as '", parts.front().info().path,
                          "': rasters read as one must share a grid");
    require<GridMismatch>(same_crs(part.grid.crs_wkt, first.crs_wkt) &&
                              part.grid.georeferenced == first.georeferenced &&
                              extent_gap(first, part.grid) <= 1e-3,
                          "'", part.path, "' lies elsewhere than '", parts.front().info().path,
                          "': rasters read as one must share a grid");
    info.path += (index == 0 ? "" : ",") + part.path;
    info.has_alpha = info.has_alpha || part.has_alpha;
    for (std::size_t band = 0; band < part.bands.size(); ++band) {
      info.bands.push_back(part.bands[band]);
      places.emplace_back(index, static_cast<std::int64_t>(band));
    }
  }
  require<FormatError>(static_cast<std::int64_t>(info.bands.size()) <= limits.bands, "'", info.path,
                       "' has ", info.bands.size(), " bands, the limit is ", limits.bands);
  const auto read_window = [parts, places](const Window& window,
                                           const std::vector<std::int64_t>& bands) {
    Block block{make_array<ValueArray>(static_cast<std::int64_t>(bands.size()), window.rows,
                                       window.columns),
                make_array<ValidArray>(static_cast<std::int64_t>(bands.size()), window.rows,
                                       window.columns)};
    const std::int64_t pixels = window.rows * window.columns;
    for (std::size_t index = 0; index < bands.size();) {
      // One read for a run of bands of one part.
      const std::size_t part = places[static_cast<std::size_t>(bands[index])].first;
      std::vector<std::int64_t> run;
      const std::size_t start = index;
      for (; index < bands.size() && places[static_cast<std::size_t>(bands[index])].first == part;
           ++index) {
        run.push_back(places[static_cast<std::size_t>(bands[index])].second);
      }
      const Block read = parts[part].read(window, run);
      const auto offset = static_cast<std::int64_t>(start) * pixels;
      std::copy(read.values.begin(), read.values.end(), block.values.data() + offset);
      std::copy(read.valid.begin(), read.valid.end(), block.valid.data() + offset);
    }
    return block;
  };
  return compose(std::move(info), read_window, limits);
}

DEEPLIGHT_INLINE std::vector<std::uint32_t> RasterReader::read_bits(const Window& window,
                                                                    std::int64_t band) const {
  const std::vector<std::int64_t> chosen = check_read(window, {band});
  const State& state = *state_;
  const std::string& dtype = state.info.bands[static_cast<std::size_t>(band)].dtype;
  require(state.dataset != nullptr && (dtype == "uint8" || dtype == "int16" || dtype == "uint16" ||
                                       dtype == "int32" || dtype == "uint32"),
          "band ", band, " of '", state.info.path, "' holds ", dtype,
          "; bits are read from one file of integers of at most 32 bits");
  std::vector<std::uint32_t> values(static_cast<std::size_t>(window.rows * window.columns));
  const bool is_signed = dtype.front() == 'i';
  std::vector<int> numbers{state.numbers[static_cast<std::size_t>(band)]};
  GdalErrors errors;
  const std::lock_guard lock(state.mutex);
  const CPLErr result = state.gdal().RasterIO(
      GF_Read, static_cast<int>(window.column), static_cast<int>(window.row),
      static_cast<int>(window.columns), static_cast<int>(window.rows), values.data(),
      static_cast<int>(window.columns), static_cast<int>(window.rows),
      is_signed ? GDT_Int32 : GDT_UInt32, 1, numbers.data(), 0, 0, 0, nullptr);
  if (result != CE_None || errors.failed()) {
    state.report_failure(window, numbers, errors.text());
  }
  return values;
}

DEEPLIGHT_INLINE std::string RasterInfo::text() const {
  std::ostringstream text;
  const auto edge = grid.corner(static_cast<double>(grid.rows), static_cast<double>(grid.columns));
  text.precision(10);
  text << path << " (" << driver << ")\n  " << grid.text() << "\n  extent (" << grid.geotransform[0]
       << ", " << grid.geotransform[3] << ") to (" << edge[0] << ", " << edge[1] << ")"
       << (grid.georeferenced ? "" : ", no georeference") << "\n  " << bands.size()
       << (bands.size() == 1 ? " band" : " bands") << (has_alpha ? " and an alpha band" : "")
       << ", blocks of " << block_columns << "x" << block_rows;
  for (std::size_t index = 0; index < bands.size(); ++index) {
    const BandInfo& band = bands[index];
    text << "\n    " << index + 1 << ": " << band.dtype;
    if (!band.name.empty()) text << " '" << band.name << "'";
    if (!band.units.empty()) text << " [" << band.units << "]";
    if (band.nodata) text << ", nodata " << *band.nodata;
    if (band.scale != 1.0 || band.offset != 0.0) {
      text << ", stored value * " << band.scale << " + " << band.offset;
    }
  }
  return text.str();
}

}  // namespace deeplight
