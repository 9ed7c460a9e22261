// Owner tiles: every pixel belongs to exactly one tile, which is computed with a halo and cropped.
//
// Pure arithmetic on the low-resolution grid; 64-bit; tiles are made on demand, so that a plan of
// a billion tiles costs nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

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
    const std::int64_t row = index / tile_columns_ * tile_;
    const std::int64_t column = index % tile_columns_ * tile_;
    const Window owner{row, column, std::min(tile_, rows_ - row),
                       std::min(tile_, columns_ - column)};
    return {owner, read_window(owner, rows_, columns_, halo_, multiple_)};
  }

  /// `owner` with a halo, its origin aligned down and its end aligned up to `multiple`, clipped to
  /// a raster of rows x columns.
  static Window read_window(const Window& owner, std::int64_t rows, std::int64_t columns,
                            std::int64_t halo, std::int64_t multiple) {
    const auto along = [&](std::int64_t start, std::int64_t length, std::int64_t limit) {
      const std::int64_t first = std::max<std::int64_t>(start - halo, 0) / multiple * multiple;
      const std::int64_t last = std::min(round_up(start + length + halo, multiple), limit);
      return std::pair{first, last - first};
    };
    const auto [row, read_rows] = along(owner.row, owner.rows, rows);
    const auto [column, read_columns] = along(owner.column, owner.columns, columns);
    return {row, column, read_rows, read_columns};
  }

 private:
  static std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
  }

  std::int64_t rows_, columns_, tile_ = 1, halo_, multiple_, tile_rows_ = 1, tile_columns_ = 1;
};

}  // namespace deeplight
