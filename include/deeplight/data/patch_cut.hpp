// Loops on raw pointers that cut, flip and average patches; [bands, H, W] -> [bands, side, side].
#pragma once

#include <cstdint>
#include <limits>
#include <utility>

namespace deeplight::detail {

/// One of the eight flips and rotations of a square: bits transpose, flip rows, flip columns.
struct Flip {
  std::int64_t code = 0;
  std::int64_t side = 0;

  /// Offset, in an image of row pitch `pitch`, that lands on (row, column) of the flipped square.
  std::int64_t source(std::int64_t row, std::int64_t column, std::int64_t pitch) const {
    if (code & 4) std::swap(row, column);
    if (code & 1) row = side - 1 - row;
    if (code & 2) column = side - 1 - column;
    return row * pitch + column;
  }
};

/// Cuts a square from every band of [bands, H, W] into [bands, side, side], flipped.
template <class T>
void cut(const T* from, std::int64_t height, std::int64_t width, std::int64_t bands,
         std::int64_t row, std::int64_t column, const Flip& flip, T* to) {
  for (std::int64_t band = 0; band < bands; ++band) {
    const T* corner = from + (band * height + row) * width + column;
    for (std::int64_t i = 0; i < flip.side; ++i) {
      const std::int64_t first = flip.source(i, 0, width);
      const std::int64_t stride = flip.source(i, 1, width) - first;
      const T* pixel = corner + first;
      for (std::int64_t j = 0; j < flip.side; ++j, pixel += stride) *to++ = *pixel;
    }
  }
}

/// Mean of the valid pixels of each r x r block; NaN where a block has none.
inline void block_mean(const float* image, const bool* valid, std::int64_t height,
                       std::int64_t width, std::int64_t r, float* to) {
  for (std::int64_t i = 0; i < height; i += r) {
    for (std::int64_t j = 0; j < width; j += r) {
      double sum = 0.0;
      std::int64_t count = 0;
      for (std::int64_t y = i; y < i + r; ++y) {
        for (std::int64_t x = j; x < j + r; ++x) {
          if (!valid[y * width + x]) continue;
          sum += static_cast<double>(image[y * width + x]);
          ++count;
        }
      }
      *to++ = count == 0 ? std::numeric_limits<float>::quiet_NaN()
                         : static_cast<float>(sum / static_cast<double>(count));
    }
  }
}

}  // namespace deeplight::detail
