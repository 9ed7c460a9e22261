// Numbers and pixels for tests that compare kernels with plain loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace deeplight::plain {

using Numbers = std::vector<double>;

inline Numbers numbers(std::int64_t count, unsigned seed) {
  Numbers values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = seed / 4294967296.0 - 0.5;
  }
  return values;
}

inline double pixel(const Numbers& image, std::int64_t plane, std::int64_t height,
                    std::int64_t width, std::int64_t y, std::int64_t x) {
  if (y < 0 || y >= height || x < 0 || x >= width) return 0;
  return image[static_cast<std::size_t>((plane * height + y) * width + x)];
}

}  // namespace deeplight::plain
