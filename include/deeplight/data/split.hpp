// Spatially blocked splits: rectangles of the low-resolution grid for training, choosing and
// testing.
//
// Random splits of overlapping tiles leak: neighbouring pixels of a night-light raster are nearly
// the same number. Parts are rectangles, kept apart by a buffer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/core/errors.hpp"

namespace deeplight {

/// A rectangle of pixels of some grid.
struct Region {
  std::int64_t row = 0;
  std::int64_t column = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;

  bool operator==(const Region&) const = default;

  /// The same rectangle on a grid `factor` times finer.
  Region scaled(std::int64_t factor) const {
    return {row * factor, column * factor, height * factor, width * factor};
  }
  bool contains(const Region& inner) const {
    return inner.row >= row && inner.column >= column && inner.row + inner.height <= row + height &&
           inner.column + inner.width <= column + width;
  }
};

inline std::ostream& operator<<(std::ostream& stream, const Region& region) {
  return stream << "rows " << region.row << ".." << region.row + region.height - 1 << ", columns "
                << region.column << ".." << region.column + region.width - 1;
}

/// Cells between two rectangles, the larger of the gaps along rows and columns; 0 when they touch,
/// negative when they overlap.
inline std::int64_t cells_between(const Region& a, const Region& b) {
  const std::int64_t rows = std::max(b.row - (a.row + a.height), a.row - (b.row + b.height));
  const std::int64_t columns =
      std::max(b.column - (a.column + a.width), a.column - (b.column + b.width));
  return std::max(rows, columns);
}

/// Which cells of the low-resolution grid serve what.
struct SpatialSplit {
  std::vector<Region> train;
  std::vector<Region> validation;
  std::vector<Region> test;  ///< never read by training; may be empty
};

/// Checks that a split can be trusted.
/// @param height  of the low-resolution grid
/// @param width   of the low-resolution grid
/// @param buffer  cells that must lie between regions of different parts
/// @throws InvalidArgument  a part that is needed is empty, a region is empty or leaves the grid,
///   regions of different parts overlap or are closer than the buffer
inline void check_split(const SpatialSplit& split, std::int64_t height, std::int64_t width,
                        std::int64_t buffer) {
  require(buffer >= 0, "the buffer of a split must not be negative, got ", buffer);
  const std::vector<std::pair<std::string, const std::vector<Region>*>> parts = {
      {"train", &split.train}, {"validation", &split.validation}, {"test", &split.test}};
  for (const auto& [name, regions] : parts) {
    require(name == "test" || !regions->empty(), "the ", name, " part of the split is empty");
    for (const Region& region : *regions) {
      require(region.height > 0 && region.width > 0, "a region of the ", name,
              " part is empty: ", region.height, "x", region.width, " cells at row ", region.row,
              ", column ", region.column);
      require(Region{0, 0, height, width}.contains(region), "the ", name, " region ", region,
              " leaves the low-resolution grid of ", height, " rows and ", width, " columns");
    }
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (std::size_t j = i + 1; j < parts.size(); ++j) {
      for (const Region& a : *parts[i].second) {
        for (const Region& b : *parts[j].second) {
          const std::int64_t between = cells_between(a, b);
          require(between >= 0, "the ", parts[i].first, " region ", a, " overlaps the ",
                  parts[j].first, " region ", b);
          require(between >= buffer, "the ", parts[i].first, " region ", a, " and the ",
                  parts[j].first, " region ", b, " are ", between,
                  " cells apart, closer than the buffer of ", buffer);
        }
      }
    }
  }
}

}  // namespace deeplight
