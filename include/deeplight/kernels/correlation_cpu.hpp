// Correlation of one block in cache with one small kernel: the inner loops of depthwise, dynamic
// and large selective convolutions. No torch, no allocation, no thread.
//
//   target[r, c] = bias + sum over taps of weight[ky, kx] * source[r + ky*dh, c + kx*dw]
//
// Two layouts of a block, told apart by `channel_lanes`:
//   false  lanes run along a row: an element is one number, a step to the right is 1
//   true   lanes are the channels of one pixel: an element is `width` numbers, weights too
// A register tile is `rows` x `packs` sums. The rows of a tile lie dh apart, so that one row of the
// source, loaded once, meets every row of the tile; its taps are summed in the order of the kernel,
// whatever the tile, so that no result depends on how an image is cut.
#pragma once

#include <cstdint>
#include <cstring>

#include "deeplight/kernels/simd.hpp"
#include "deeplight/kernels/streamed_store.hpp"

namespace deeplight::kernels {

/// Shape of a kernel: taps and the distance between them.
struct KernelShape {
  std::int64_t rows = 1, columns = 1;
  std::int64_t dilation_h = 1, dilation_w = 1;

  std::int64_t taps() const { return rows * columns; }
  std::int64_t reach_h() const { return (rows - 1) * dilation_h; }
  std::int64_t reach_w() const { return (columns - 1) * dilation_w; }
};

inline namespace DEEPLIGHT_SIMD_TAG {

/// One block. Rows and pitches count numbers; `columns` counts elements.
template <class T>
struct Correlation {
  KernelShape kernel;
  const T* source = nullptr;  // [rows + reach_h, columns + reach_w] and one vector more per row
  std::int64_t source_row = 0;
  const T* weights = nullptr;  // [taps]; with channel lanes [taps, width]
  const T* bias = nullptr;     // [1]; with channel lanes [width]; null: zero
  T* target = nullptr;         // [rows, columns], rounded up to whole vectors
  std::int64_t target_row = 0;
  std::int64_t rows = 0, columns = 0;
  bool add = false;       // planes only: to what the target holds, instead of the bias
  bool streamed = false;  // past the cache; target and target_row are whole lines of it
};

namespace correlation_detail {

template <class T, class Arch>
inline constexpr int most_packs = simd::registers<Arch> >= 32 ? 4 : 2;

/// One source row for the tile's rows [low, high).
template <class T, class Arch, bool channel_lanes, int low, int high, int rows, int packs>
DEEPLIGHT_ALWAYS_INLINE void add_row(simd::Pack<T, Arch> (&sum)[rows][packs],
                                     const T* DEEPLIGHT_RESTRICT source,
                                     const T* DEEPLIGHT_RESTRICT weights, std::int64_t taps_per_row,
                                     std::int64_t step) {
  using Pack = simd::Pack<T, Arch>;
  constexpr std::int64_t size = channel_lanes ? Pack::width : 1;
  const std::int64_t weight_row = taps_per_row * size;
  // weights points at the kernel row of the tile's row 0; a row further down is one row earlier.
  for (std::int64_t x = 0; x < taps_per_row; ++x) {
    Pack in[packs];
#pragma GCC unroll 8
    for (int p = 0; p < packs; ++p) in[p] = Pack::load(source + p * Pack::width);
#pragma GCC unroll 8
    for (int r = low; r < high; ++r) {
      const T* at = weights - r * weight_row;
      const Pack weight = channel_lanes ? Pack::load(at) : Pack::all(*at);
#pragma GCC unroll 8
      for (int p = 0; p < packs; ++p) sum[r][p] = fma(weight, in[p], sum[r][p]);
    }
    source += step;
    weights += size;
  }
}

template <class T, class Arch, bool channel_lanes, int low, int high, int rows, int packs>
DEEPLIGHT_ALWAYS_INLINE void add_if(simd::Pack<T, Arch> (&sum)[rows][packs], const T* source,
                                    const T* weights, std::int64_t taps, std::int64_t step) {
  if constexpr (low >= 0 && high <= rows)
    add_row<T, Arch, channel_lanes, low, high>(sum, source, weights, taps, step);
}

template <class T, class Arch>
DEEPLIGHT_ALWAYS_INLINE void put(simd::Pack<T, Arch> value, T* to, bool streamed) {
  using Pack = simd::Pack<T, Arch>;
  if constexpr (Pack::width * std::int64_t(sizeof(T)) == streamed_line) {
    if (streamed) {
      alignas(64) T lanes[Pack::width];
      value.store(lanes);
      return stream_line(to, lanes);
    }
  }
  value.store(to);
}

/// A register tile: `rows` rows that lie dilation_h apart, `packs` vectors wide. rows <=
/// kernel.rows
template <class T, class Arch, bool channel_lanes, int rows, int packs>
void tile(const Correlation<T>& c, const T* source, T* target, std::int64_t store_lanes) {
  using Pack = simd::Pack<T, Arch>;
  constexpr std::int64_t size = channel_lanes ? Pack::width : 1;
  const KernelShape& k = c.kernel;
  Pack sum[rows][packs];
  const Pack start = !c.bias         ? Pack::zero()
                     : channel_lanes ? Pack::load(c.bias)
                                     : Pack::all(*c.bias);
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int p = 0; p < packs; ++p) sum[r][p] = start;
  if (c.add) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const T* held = target + r * k.dilation_h * c.target_row;
      T lanes[Pack::width] = {};
      if (packs == 1 && store_lanes < Pack::width) {
        std::memcpy(lanes, held, static_cast<std::size_t>(store_lanes) * sizeof(T));
        held = lanes;
      }
#pragma GCC unroll 8
      for (int p = 0; p < packs; ++p) sum[r][p] = Pack::load(held + p * Pack::width);
    }
  }

  const std::int64_t down = c.source_row * k.dilation_h, weight_row = k.columns * size;
  const std::int64_t step = k.dilation_w * size;
  const T* weights = c.weights;
  std::int64_t i = 0;
  // Source rows above the last of the tile, all rows of the tile, rows below its first.
#define DEEPLIGHT_RAMP(low, high) \
  add_if<T, Arch, channel_lanes, low, high, rows, packs>(sum, source, weights, k.columns, step)
  for (; i < rows - 1; ++i, source += down, weights += weight_row) {
    switch (i) {
      case 0:
        DEEPLIGHT_RAMP(0, 1);
        break;
      case 1:
        DEEPLIGHT_RAMP(0, 2);
        break;
      case 2:
        DEEPLIGHT_RAMP(0, 3);
        break;
      case 3:
        DEEPLIGHT_RAMP(0, 4);
        break;
      default:
        DEEPLIGHT_RAMP(0, 5);
        break;
    }
  }
  for (; i < k.rows; ++i, source += down, weights += weight_row)
    add_row<T, Arch, channel_lanes, 0, rows>(sum, source, weights, k.columns, step);
  for (; i < k.rows + rows - 1; ++i, source += down, weights += weight_row) {
    switch (rows - (i - k.rows + 1)) {
      case 1:
        DEEPLIGHT_RAMP(rows - 1, rows);
        break;
      case 2:
        DEEPLIGHT_RAMP(rows - 2, rows);
        break;
      case 3:
        DEEPLIGHT_RAMP(rows - 3, rows);
        break;
      case 4:
        DEEPLIGHT_RAMP(rows - 4, rows);
        break;
      default:
        DEEPLIGHT_RAMP(rows - 5, rows);
        break;
    }
  }
#undef DEEPLIGHT_RAMP

#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    T* out = target + r * k.dilation_h * c.target_row;
    if (packs == 1 && store_lanes < Pack::width) {
      T lanes[Pack::width];
      sum[r][0].store(lanes);
      std::memcpy(out, lanes, static_cast<std::size_t>(store_lanes) * sizeof(T));
    } else {
#pragma GCC unroll 8
      for (int p = 0; p < packs; ++p) put<T, Arch>(sum[r][p], out + p * Pack::width, c.streamed);
    }
  }
}

/// Every row of one column of tiles.
template <class T, class Arch, bool channel_lanes, int packs>
void column(const Correlation<T>& c, const T* source, T* target, std::int64_t store_lanes) {
  using Tile = void (*)(const Correlation<T>&, const T*, T*, std::int64_t);
  static constexpr Tile tiles[] = {
      tile<T, Arch, channel_lanes, 1, packs>, tile<T, Arch, channel_lanes, 2, packs>,
      tile<T, Arch, channel_lanes, 3, packs>, tile<T, Arch, channel_lanes, 4, packs>,
      tile<T, Arch, channel_lanes, 5, packs>, tile<T, Arch, channel_lanes, 6, packs>};
  const std::int64_t d = c.kernel.dilation_h;
  const std::int64_t most = c.kernel.rows < 6 ? c.kernel.rows : 6;
  for (std::int64_t phase = 0; phase < d && phase < c.rows; ++phase) {
    std::int64_t left = (c.rows - phase + d - 1) / d, row = phase;
    while (left > 0) {
      const std::int64_t rows = left < most ? left : most;
      tiles[rows - 1](c, source + row * c.source_row, target + row * c.target_row, store_lanes);
      row += rows * d;
      left -= rows;
    }
  }
}

}  // namespace correlation_detail

/// target = bias + correlation of source and weights.
/// @param lanes  with channel lanes, how many of them to write; else all
template <class T, class Arch, bool channel_lanes>
void correlate(const Correlation<T>& c, std::int64_t lanes = simd::Pack<T, Arch>::width) {
  using namespace correlation_detail;
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  constexpr int packs = most_packs<T, Arch>;
  constexpr std::int64_t size = channel_lanes ? width : 1;  // numbers in an element
  const std::int64_t total = c.columns * size;
  const bool whole = !channel_lanes || lanes == width;
  std::int64_t at = 0;
  if (whole)
    for (; at + packs * width <= total; at += packs * width)
      column<T, Arch, channel_lanes, packs>(c, c.source + at, c.target + at, width);
  for (; at < total; at += width) {
    const std::int64_t left = channel_lanes ? lanes : total - at < width ? total - at : width;
    column<T, Arch, channel_lanes, 1>(c, c.source + at, c.target + at, left);
  }
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
