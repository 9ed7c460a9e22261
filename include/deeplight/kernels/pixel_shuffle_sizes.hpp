// Sizes of the CUDA kernel pixel_shuffle_conv.cuh, for those who launch it, too.
#pragma once

#include <cstdint>

#include "deeplight/kernels/host_device.hpp"

namespace deeplight::kernels {

/// Inputs [B, I, H, W], results [B, O, rh*H, rw*W].
struct PixelShuffle {
  std::int64_t batch = 0, inputs = 0, outputs = 0, height = 0, width = 0, rh = 1, rw = 1;
  bool channels_last = false;
  double alpha = 1;  ///< factor of the residual

  DEEPLIGHT_HOST_DEVICE std::int64_t pixels() const { return height * width; }
  /// What one input pixel becomes.
  DEEPLIGHT_HOST_DEVICE std::int64_t results() const { return outputs * rh * rw; }
  /// Of these a block computes so many: whole runs of neighbouring columns, where planes are
  /// stored.
  DEEPLIGHT_HOST_DEVICE int tile() const {
    return channels_last || rw > 64 ? 64 : int(64 / rw * rw);
  }
  DEEPLIGHT_HOST_DEVICE std::int64_t tiles() const { return (results() + tile() - 1) / tile(); }
  DEEPLIGHT_HOST_DEVICE std::int64_t blocks() const {
    return batch * tiles() * ((pixels() + 63) / 64);
  }
};

}  // namespace deeplight::kernels
