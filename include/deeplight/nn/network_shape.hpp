// What a composed network tells each of its parts about itself.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/types.hpp"

namespace deeplight::nn {

/// Sizes shared by the alignment, fusion and refinement parts of one network.
struct NetworkShape {
  std::int64_t scale = 8;     ///< 2, 4 or 8
  std::int64_t width = 64;    ///< feature channels
  std::vector<Guide> guides;  ///< in their declared order

  /// Number of x2 steps between the low resolution and the output.
  std::int64_t levels() const { return std::countr_zero(static_cast<std::uint64_t>(scale)); }
  /// Bands of all guides together.
  std::int64_t guide_bands() const {
    std::int64_t bands = 0;
    for (const Guide& guide : guides) bands += guide.bands;
    return bands;
  }
};
DEEPLIGHT_OPTIONS(NetworkShape, scale, width, guides)

/// Channels after each stride-2 convolution of a guide: width/2, then width.
inline std::vector<std::int64_t> downsampling_channels(std::int64_t levels, std::int64_t width) {
  std::vector<std::int64_t> channels(static_cast<std::size_t>(levels), width);
  if (levels > 1) channels.front() = width / 2;
  return channels;
}

}  // namespace deeplight::nn
