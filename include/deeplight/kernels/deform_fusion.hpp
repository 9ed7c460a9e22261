// Sizes of the CUDA kernels of deformable convolution, for those who launch them, too.
#pragma once

#include <cstdint>

#include "deeplight/kernels/deform_point.hpp"
#include "deeplight/kernels/host_device.hpp"

namespace deeplight::kernels {

inline constexpr int fused_positions = 64, fused_outputs = 64, fused_depth = 32;

/// A batch of deformable convolutions, and the blocks of its passes.
struct DeformFusion {
  std::int64_t batch = 0, groups = 1;
  std::int64_t outputs = 0, depth = 0;  ///< of a group: output and input channels

  DEEPLIGHT_HOST_DEVICE std::int64_t tiles(const DeformGeometry& g) const {
    return (g.positions() + fused_positions - 1) / fused_positions;
  }
  DEEPLIGHT_HOST_DEVICE std::int64_t output_chunks() const {
    return (outputs + fused_outputs - 1) / fused_outputs;
  }
  DEEPLIGHT_HOST_DEVICE std::int64_t forward_blocks(const DeformGeometry& g) const {
    return batch * groups * output_chunks() * tiles(g);
  }
  /// Of one part: tiles of 64 outputs and 64 channels of every tap.
  DEEPLIGHT_HOST_DEVICE std::int64_t weight_blocks(const DeformGeometry& g) const {
    return groups * g.taps() * output_chunks() * ((depth + 63) / 64);
  }
};

/// Samples and channels that one launch of the backward pass scatters to; `shares` blocks divide
/// the taps.
struct DeformRange {
  std::int64_t first_sample = 0, samples = 0, first_channel = 0, end_channel = 0, shares = 1;

  DEEPLIGHT_HOST_DEVICE std::int64_t channels() const { return end_channel - first_channel; }
  DEEPLIGHT_HOST_DEVICE std::int64_t blocks(const DeformGeometry& g, const DeformFusion& f) const {
    return samples * g.offset_groups * shares * f.tiles(g);
  }
};

}  // namespace deeplight::kernels
