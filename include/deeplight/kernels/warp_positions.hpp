// Where an affine warp samples: four neighbours and their weights for a block of output pixels.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "deeplight/kernels/image_view.hpp"
#include "deeplight/kernels/warp_axis.hpp"

namespace deeplight::kernels {

inline namespace DEEPLIGHT_SIMD_TAG {

inline constexpr std::int64_t warp_block = 128;

/// Positions of output pixels (row, first + i), i < count. Neighbours in the order (low y, low x),
/// (low, high), (high, low), (high, high).
template <class T, class Offset>
struct WarpPositions {
  std::int64_t count = 0;
  Offset offset[4][warp_block];  // in elements of the image
  T weight[4][warp_block], inside[4][warp_block];
  T x[warp_block], y[warp_block];  // fractions
  T slope_x[warp_block], slope_y[warp_block];
  /// Runs of pixels whose neighbours are consecutive in memory.
  std::int64_t runs = 0, run_start[warp_block + 1];

  void set(const WarpGeometry& g, const ImageView<const T>& image, const T* matrix,
           std::int64_t row, std::int64_t first, std::int64_t pixels) {
    count = pixels;
    T dx[warp_block], dy[warp_block];
    // Differences in double: a tile that moves its centre gets the same numbers.
    const T below = static_cast<T>(static_cast<double>(row) - g.centre_y);
    const T base_x = matrix[1] * below + matrix[2], base_y = matrix[4] * below + matrix[5];
    const double right = static_cast<double>(first) - g.centre_x;
    for (std::int64_t i = 0; i < count; ++i) {
      const T across = static_cast<T>(right + static_cast<double>(i));
      dx[i] = matrix[0] * across + base_x;
      dy[i] = matrix[3] * across + base_y;
    }
    // What makes a pixel inner is linear along the row: inner pixels are an interval.
    const auto inner = [&](std::int64_t i) { return is_inner(g, row, first + i, dx[i], dy[i]); };
    std::int64_t begin = 0, end = count;
    while (begin < end && !inner(begin)) ++begin;
    while (end > begin && !inner(end - 1)) --end;
    for (std::int64_t i = 0; i < begin; ++i) set_outer(g, image, row, first, i, dx[i], dy[i]);
    set_inner(image, row, first, begin, end, dx, dy);
    for (std::int64_t i = end; i < count; ++i) set_outer(g, image, row, first, i, dx[i], dy[i]);

    set_runs(image.column == 1 ? begin : count, end);
  }

 private:
  /// Starts of runs: every pixel but those in (begin, end) that follow the one before.
  void set_runs(std::int64_t begin, std::int64_t end) {
    unsigned char breaks[warp_block + 8];
    for (std::int64_t i = begin + 1; i < end; ++i) breaks[i] = offset[0][i] - offset[0][i - 1] != 1;
    runs = 0;
    for (std::int64_t i = 0; i <= begin && i < count; ++i) run_start[runs++] = i;
    for (std::int64_t i = begin + 1; i < end; ++i) {
      // Most of eight pixels follow each other.
      std::uint64_t eight;
      std::memcpy(&eight, breaks + i, sizeof(eight));
      if (i + 8 <= end && eight == 0)
        i += 7;
      else if (breaks[i])
        run_start[runs++] = i;
    }
    for (std::int64_t i = end > begin ? end : begin + 1; i < count; ++i) run_start[runs++] = i;
    run_start[runs] = count;
  }

  /// Whether the position is not clamped and all four neighbours are pixels of the image.
  static bool is_inner(const WarpGeometry& g, std::int64_t y, std::int64_t x, T dx, T dy) {
    const T limit = static_cast<T>(g.max_shift);
    // Written so that NaN fails the comparisons.
    return dx >= static_cast<T>(-x) && dx < static_cast<T>(g.width - 1 - x) &&
           dy >= static_cast<T>(-y) && dy < static_cast<T>(g.height - 1 - y) && dx <= limit &&
           dx >= -limit && dy <= limit && dy >= -limit;
  }

  void set_inner(const ImageView<const T>& image, std::int64_t row, std::int64_t first,
                 std::int64_t begin, std::int64_t end, const T* DEEPLIGHT_RESTRICT dx,
                 const T* DEEPLIGHT_RESTRICT dy) {
    const auto step_y = static_cast<Offset>(image.row), step_x = static_cast<Offset>(image.column);
    const auto corner = static_cast<Offset>(row * image.row + first * image.column);
    for (std::int64_t i = begin; i < end; ++i) {
      const T whole_x = std::floor(dx[i]), whole_y = std::floor(dy[i]);
      const T fx = dx[i] - whole_x, fy = dy[i] - whole_y;
      x[i] = fx;
      y[i] = fy;
      weight[0][i] = (1 - fy) * (1 - fx);
      weight[1][i] = (1 - fy) * fx;
      weight[2][i] = fy * (1 - fx);
      weight[3][i] = fy * fx;
      const Offset at = corner + (static_cast<Offset>(i) + static_cast<Offset>(whole_x)) * step_x +
                        static_cast<Offset>(whole_y) * step_y;
      offset[0][i] = at;
      offset[1][i] = at + step_x;
      offset[2][i] = at + step_y;
      offset[3][i] = at + step_y + step_x;
    }
    for (std::int64_t i = begin; i < end; ++i) {
      slope_x[i] = slope_y[i] = 1;
      inside[0][i] = inside[1][i] = inside[2][i] = inside[3][i] = 1;
    }
  }

  void set_outer(const WarpGeometry& g, const ImageView<const T>& image, std::int64_t row,
                 std::int64_t first, std::int64_t i, T dx, T dy) {
    const T limit = static_cast<T>(g.max_shift);
    const auto across = warp_axis(first + i, dx, limit, g.padding, g.width);
    const auto down = warp_axis(row, dy, limit, g.padding, g.height);
    x[i] = across.fraction;
    y[i] = down.fraction;
    slope_x[i] = across.slope;
    slope_y[i] = down.slope;
    for (int k = 0; k < 4; ++k) {
      const bool lower = k >= 2, righter = k % 2 == 1;
      offset[k][i] = static_cast<Offset>((lower ? down.high : down.low) * image.row +
                                         (righter ? across.high : across.low) * image.column);
      inside[k][i] = (lower ? down.high_inside : down.low_inside) *
                     (righter ? across.high_inside : across.low_inside);
      weight[k][i] = inside[k][i] * (lower ? y[i] : 1 - y[i]) * (righter ? x[i] : 1 - x[i]);
    }
  }
};

namespace warp_detail {

/// A neighbour's value; one of weight 0 does not count, whatever stands there.
template <class T>
DEEPLIGHT_ALWAYS_INLINE T term(T weight, T value) {
  // Multiplied in either case: the compiler may then choose lane by lane.
  return weight * (weight == 0 ? T(0) : value);
}

/// visit(sample, row, first, positions of the block that starts there) for items [begin, end).
template <class T, class Offset, class Visit>
void for_each_block(const WarpGeometry& g, const ImageView<const T>& image, const T* matrix,
                    std::int64_t begin, std::int64_t end, const Visit& visit) {
  WarpPositions<T, Offset> at;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t sample = item / g.out_height, row = item % g.out_height;
    const T* own = matrix + (g.matrices == 1 ? 0 : sample * 6);
    for (std::int64_t first = 0; first < g.out_width; first += warp_block) {
      const std::int64_t left = g.out_width - first;
      at.set(g, image, own, row, first, left < warp_block ? left : warp_block);
      visit(sample, row, first, at);
    }
  }
}

/// Asks for what a block reads or writes in another plane: its lower neighbours (the upper ones
/// came with the row before) and its own row. Pieces of many planes are more than the processor's
/// own prefetching follows.
template <class T, class Offset>
DEEPLIGHT_ALWAYS_INLINE void prefetch_block(const WarpPositions<T, Offset>& at, const T* plane,
                                            const T* own) {
  for (std::int64_t i = 0; i < at.count; i += 64 / std::int64_t{sizeof(T)}) {
    DEEPLIGHT_PREFETCH(plane + at.offset[3][i]);
    DEEPLIGHT_PREFETCH(own + i);
  }
}

inline constexpr std::int64_t planes_ahead = 4;

}  // namespace warp_detail
}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
