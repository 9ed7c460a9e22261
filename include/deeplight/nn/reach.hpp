// How far one low-resolution cell reaches through layers of two grids: interval arithmetic, exact
// for convolutions and for the projection convolutions between the grids.
#pragma once

#include <algorithm>
#include <cstdint>

namespace deeplight::nn {

/// The pixels first..last of one grid that a change of cell 0 can reach, along one axis.
struct Reach {
  std::int64_t first = 0, last = 0;

  /// A convolution of this radius, size kept.
  Reach dilated(std::int64_t radius) const { return {first - radius, last + radius}; }

  /// Low-resolution pixels to the fine pixels that they cover.
  Reach covered(std::int64_t scale) const { return {first * scale, last * scale + scale - 1}; }

  /// Transposed convolution of kernel scale + 4, stride scale, padding 2.
  Reach expanded(std::int64_t scale) const { return covered(scale).dilated(2); }

  /// Convolution of kernel scale + 4, stride scale, padding 2.
  Reach reduced(std::int64_t scale) const {
    return {-floor_divided(-(first - scale - 1), scale), floor_divided(last + 2, scale)};
  }

  /// Fine pixels to the low-resolution pixels that hold them.
  Reach cells(std::int64_t scale) const {
    return {floor_divided(first, scale), floor_divided(last, scale)};
  }

  Reach joined(const Reach& other) const {
    return {std::min(first, other.first), std::max(last, other.last)};
  }

  /// Pixels from cell 0, the farther side.
  std::int64_t radius() const { return std::max(-first, last); }

 private:
  static std::int64_t floor_divided(std::int64_t value, std::int64_t by) {
    return value >= 0 ? value / by : -((-value + by - 1) / by);
  }
};

}  // namespace deeplight::nn
