// Definitions of grid.hpp.
#pragma once

#include <ogr_spatialref.h>

#include <algorithm>
#include <cmath>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/gdal_errors.hpp"
#include "deeplight/raster/grid.hpp"

namespace deeplight {

DEEPLIGHT_INLINE std::array<double, 2> Grid::corner(double row, double column) const {
  const auto& g = geotransform;
  return {g[0] + column * g[1] + row * g[2], g[3] + column * g[4] + row * g[5]};
}

DEEPLIGHT_INLINE std::array<double, 2> Grid::cell_size() const {
  return {std::hypot(geotransform[1], geotransform[4]),
          std::hypot(geotransform[2], geotransform[5])};
}

DEEPLIGHT_INLINE Grid Grid::refined(std::int64_t scale) const {
  require(scale >= 1, "scale must be at least 1, got ", scale);
  Grid fine = *this;
  fine.rows *= scale;
  fine.columns *= scale;
  for (const int index : {1, 2, 4, 5}) fine.geotransform[index] /= static_cast<double>(scale);
  return fine;
}

DEEPLIGHT_INLINE Grid Grid::cropped(const Window& window) const {
  Grid part = *this;
  const auto origin = corner(static_cast<double>(window.row), static_cast<double>(window.column));
  part.geotransform[0] = origin[0];
  part.geotransform[3] = origin[1];
  part.rows = window.rows;
  part.columns = window.columns;
  return part;
}

DEEPLIGHT_INLINE std::string Grid::size_text() const {
  return concat(columns, "x", rows);
}

DEEPLIGHT_INLINE std::string Grid::text() const {
  const auto cell = cell_size();
  return concat(size_text(), " (columns x rows), cell ", cell[0], " x ", cell[1], ", ",
                crs_name(crs_wkt));
}

namespace detail {

inline bool parse_crs(const std::string& wkt, OGRSpatialReference& crs) {
  if (wkt.empty() || crs.importFromWkt(wkt.c_str()) != OGRERR_NONE) return false;
  crs.SetAxisMappingStrategy(OAMS_TRADITIONAL_GIS_ORDER);
  return true;
}

}  // namespace detail

DEEPLIGHT_INLINE bool same_crs(const std::string& wkt_a, const std::string& wkt_b) {
  if (wkt_a == wkt_b) return true;
  const GdalErrors quiet;
  OGRSpatialReference a, b;
  if (!detail::parse_crs(wkt_a, a) || !detail::parse_crs(wkt_b, b)) return false;
  const char* const options[] = {"CRITERION=EQUIVALENT", "IGNORE_COORDINATE_EPOCH=YES",
                                 "IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES", nullptr};
  return a.IsSame(&b, options) != 0;
}

DEEPLIGHT_INLINE std::string crs_name(const std::string& wkt) {
  if (wkt.empty()) return "none";
  const GdalErrors quiet;
  OGRSpatialReference crs;
  if (!detail::parse_crs(wkt, crs)) return "an unreadable coordinate system";
  const char* authority = crs.GetAuthorityName(nullptr);
  const char* code = crs.GetAuthorityCode(nullptr);
  if (authority != nullptr && code != nullptr) return concat(authority, ":", code);
  const char* name = crs.GetName();
  return name != nullptr ? name : "an unnamed coordinate system";
}

DEEPLIGHT_INLINE std::array<double, 2> metres_per_unit(const Grid& grid) {
  const GdalErrors quiet;
  OGRSpatialReference crs;
  if (!detail::parse_crs(grid.crs_wkt, crs)) return {1.0, 1.0};
  if (!crs.IsGeographic()) {
    const double metres = crs.GetLinearUnits();
    return {metres, metres};
  }
  const double radians = crs.GetAngularUnits();
  const double metres = crs.GetSemiMajor() * radians;
  const double latitude = grid.corner(grid.rows / 2.0, grid.columns / 2.0)[1] * radians;
  return {metres * std::max(std::cos(latitude), 0.0), metres};
}

DEEPLIGHT_INLINE double extent_gap(const Grid& coarse, const Grid& fine) {
  const double cell = std::min(fine.cell_size()[0], fine.cell_size()[1]);
  double gap = 0.0;
  for (const double row : {0.0, 1.0}) {
    for (const double column : {0.0, 1.0}) {
      const auto a = coarse.corner(row * static_cast<double>(coarse.rows),
                                   column * static_cast<double>(coarse.columns));
      const auto b = fine.corner(row * static_cast<double>(fine.rows),
                                 column * static_cast<double>(fine.columns));
      gap = std::max(gap, std::hypot(a[0] - b[0], a[1] - b[1]) / cell);
    }
  }
  return gap;
}

}  // namespace deeplight
