// Owner tiles: every pixel belongs to exactly one tile, which is computed with a halo and cropped.
//
// Pure arithmetic on the low-resolution grid; 64-bit; tiles are made on demand, so that a plan of
// a billion tiles costs nothing.
#pragma once

#include <algorithm>
#include <cstdint>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/grid.hpp"

namespace deeplight {

/// `owner` lies inside `read`; both lie inside the raster.
struct Tile {
  Window owner;
  Window read;
  friend bool operator==(const Tile&, const Tile&) = default;
};

class TilePlan {
 public:
  /// @param tile      side of an owner tile, rounded up to `multiple`
  /// @param halo      pixels read around the owner, where the raster has them
  /// @param multiple  read origins are multiples of it; so are read sizes, except at the far edges
  /// @throws InvalidArgument  a size below 1, a negative halo
  TilePlan(std::int64_t rows, std::int64_t columns, std::int64_t tile, std::int64_t halo,
           std::int64_t multiple = 1)
      : rows_(rows), columns_(columns), halo_(halo), multiple_(multiple) {
    require(rows >= 1 && columns >= 1, "a tile plan needs at least one pixel, got ", columns, "x",
            rows);
    require(tile >= 1, "tile must be at least 1 pixel, got ", tile);
    require(halo >= 0, "halo must not be negative, got ", halo);
    require(multiple >= 1, "tile multiple must be at least 1, got ", multiple);
    tile_ = round_up(std::min(tile, std::max(rows, columns)), multiple);
    tile_rows_ = (rows + tile_ - 1) / tile_;
    tile_columns_ = (columns + tile_ - 1) / tile_;
  }

  /// Number of tiles.
  std::int64_t size() const { return tile_rows_ * tile_columns_; }
  /// Side of an owner tile, after rounding.
  std::int64_t tile() const { return tile_; }

  /// Tile `index` in row order.
  Tile operator[](std::int64_t index) const {
    require(index >= 0 && index < size(), "tile ", index, " of a plan of ", size());
    const auto [row, rows, read_row, read_rows] = along(index / tile_columns_, rows_);
    const auto [column, columns, read_column, read_columns] =
        along(index % tile_columns_, columns_);
    return {{row, column, rows, columns}, {read_row, read_column, read_rows, read_columns}};
  }

 private:
  struct Span {
    std::int64_t start, length, read_start, read_length;
  };

  static std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
  }

  Span along(std::int64_t index, std::int64_t length) const {
    const std::int64_t start = index * tile_;
    const std::int64_t end = std::min(start + tile_, length);
    const std::int64_t first = std::max<std::int64_t>(start - halo_, 0) / multiple_ * multiple_;
    const std::int64_t last = std::min(round_up(end + halo_, multiple_), length);
    return {start, end - start, first, last - first};
  }

  std::int64_t rows_, columns_, tile_ = 1, halo_, multiple_, tile_rows_ = 1, tile_columns_ = 1;
};

}  // namespace deeplight
