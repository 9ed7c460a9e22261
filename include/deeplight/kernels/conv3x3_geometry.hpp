// A 3x3 convolution of stride 1 and padding 1, as its CPU kernels take it.
#pragma once

#include <cstdint>

namespace deeplight::kernels {

/// Channels-last maps [batch, height, width, in] -> [batch, height, width, out].
struct Conv3x3Geometry {
  std::int64_t batch = 0, height = 0, width = 0, in = 0, out = 0;
  float slope = 1;  ///< of negative results; 1: none is changed

  /// Tiles of 4 x 4 outputs.
  std::int64_t down() const { return (height + 3) / 4; }
  std::int64_t across() const { return (width + 3) / 4; }
  std::int64_t tiles() const { return batch * down() * across(); }
};

}  // namespace deeplight::kernels
