// Where the pixels of a raster lie on Earth, and how two grids relate.
//
// A geotransform g maps (column, row) of a pixel corner to coordinates, as GDAL defines it:
// x = g[0] + column g[1] + row g[2], y = g[3] + column g[4] + row g[5].
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "deeplight/core/config.hpp"

namespace deeplight {

/// A rectangle of pixels.
struct Window {
  std::int64_t row = 0;
  std::int64_t column = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  friend bool operator==(const Window&, const Window&) = default;

  /// The same ground on a grid whose cells are `scale` times smaller.
  Window refined(std::int64_t scale) const {
    return {row * scale, column * scale, rows * scale, columns * scale};
  }

  /// What two windows share; without rows or columns where they share nothing.
  Window intersection(const Window& other) const {
    const std::int64_t top = std::max(row, other.row), left = std::max(column, other.column);
    const std::int64_t bottom = std::min(row + rows, other.row + other.rows);
    const std::int64_t right = std::min(column + columns, other.column + other.columns);
    return {top, left, std::max<std::int64_t>(bottom - top, 0),
            std::max<std::int64_t>(right - left, 0)};
  }
};

/// Size and georeference of a raster.
struct Grid {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::array<double, 6> geotransform{0, 1, 0, 0, 0, 1};
  std::string crs_wkt;         ///< empty when the raster names no coordinate system
  bool georeferenced = false;  ///< whether the file states its geotransform

  /// Coordinates of a pixel corner (fractions allowed).
  std::array<double, 2> corner(double row, double column) const;
  /// Side lengths of a cell {along a row, along a column}, in units of the coordinate system.
  std::array<double, 2> cell_size() const;
  /// The grid with cells `scale` times smaller on the same extent.
  Grid refined(std::int64_t scale) const;
  /// The grid of a window of this one.
  Grid cropped(const Window& window) const;
  /// `256x128` (columns x rows, as GDAL prints it).
  std::string size_text() const;
  /// Readable size, cell and coordinate system.
  std::string text() const;
};

/// Whether two WKT texts mean the same coordinate system (axis order and epoch aside).
bool same_crs(const std::string& wkt_a, const std::string& wkt_b);

/// `EPSG:32622`, or the name of the system, or `none`.
std::string crs_name(const std::string& wkt);

/// Metres in one unit of the system along `cell_size()`; for degrees, at the grid's middle row.
/// {1, 1} where no system is known.
std::array<double, 2> metres_per_unit(const Grid& grid);

/// Largest distance between corresponding corners of two extents, in cells of `fine`.
double extent_gap(const Grid& coarse, const Grid& fine);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/grid_inl.hpp"
#endif
