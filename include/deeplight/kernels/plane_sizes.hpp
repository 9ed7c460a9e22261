// Sizes of the CUDA kernels plane_convolution.cuh and plane_correlation.cuh, for those who launch
// them, too.
#pragma once

#include <cstdint>

#include "deeplight/kernels/host_device.hpp"

namespace deeplight::kernels {

inline constexpr int plane_columns = 64, plane_rows = 8;

struct PlaneConvolution {
  std::int64_t items = 0, kernels = 1;  ///< item i has kernel i % kernels
  int inputs = 1, outputs = 1;
  std::int64_t height = 0, width = 0, out_height = 0, out_width = 0;
  int kernel_h = 1, kernel_w = 1, dilation_h = 1, dilation_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;  ///< may be negative: the image is cut
  /// The kernel is [inputs, outputs, kh, kw] and turned by 180 degrees: the gradient for the image
  /// is this convolution of the gradient.
  bool turned = false;

  DEEPLIGHT_HOST_DEVICE int taps() const { return kernel_h * kernel_w; }
  /// Strips of a tile, and threads along y.
  DEEPLIGHT_HOST_DEVICE int strips() const {
    return dilation_h * (dilation_h < 6 ? 6 / dilation_h : 1);
  }
  DEEPLIGHT_HOST_DEVICE int tile_height() const {
    return strips() * plane_rows + (kernel_h - 1) * dilation_h;
  }
  DEEPLIGHT_HOST_DEVICE int tile_width() const {
    return plane_columns + (kernel_w - 1) * dilation_w;
  }
  /// Shared memory of a block that computes `together` results at once, in sums.
  DEEPLIGHT_HOST_DEVICE std::int64_t block_size(int together) const {
    return std::int64_t(tile_height()) * tile_width() + together * taps();
  }
  DEEPLIGHT_HOST_DEVICE std::int64_t tiles(int together) const {
    const std::int64_t rows = strips() * plane_rows;
    return items * ((outputs + together - 1) / together) * ((out_height + rows - 1) / rows) *
           ((out_width + plane_columns - 1) / plane_columns);
  }
};

inline constexpr int correlation_columns = 64, correlation_taps = 8;

struct PlaneCorrelation {
  /// Gradients [batch, groups, outputs, OH, OW], images [batch, groups, inputs, H, W], results
  /// [groups, outputs, inputs, kh, kw].
  std::int64_t batch = 1, groups = 1, inputs = 1, outputs = 1;
  std::int64_t height = 0, width = 0, out_height = 0, out_width = 0;
  int kernel_h = 1, kernel_w = 1, dilation_h = 1, dilation_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;
  std::int64_t parts = 1;
  int tile_rows = 16;

  DEEPLIGHT_HOST_DEVICE int taps() const { return kernel_h * kernel_w; }
  DEEPLIGHT_HOST_DEVICE std::int64_t pairs() const { return groups * outputs * inputs; }
  DEEPLIGHT_HOST_DEVICE int runs() const {
    return (kernel_w + correlation_taps - 1) / correlation_taps;
  }
  /// Threads that share one row of a tile: one per run of eight taps.
  DEEPLIGHT_HOST_DEVICE int sharing() const { return kernel_h * runs(); }
  /// Rows of a tile that are worked on at once.
  DEEPLIGHT_HOST_DEVICE int slices() const { return sharing() > 256 ? 1 : 256 / sharing(); }
  DEEPLIGHT_HOST_DEVICE int threads() const { return (sharing() * slices() + 31) / 32 * 32; }
  // Odd, so that neighbouring rows lie in different banks.
  DEEPLIGHT_HOST_DEVICE int image_pitch() const {
    return (correlation_columns + (runs() * correlation_taps - 1) * dilation_w) | 1;
  }
  DEEPLIGHT_HOST_DEVICE int grad_pitch() const { return correlation_columns + 1; }
  DEEPLIGHT_HOST_DEVICE int image_rows() const { return tile_rows + (kernel_h - 1) * dilation_h; }
  /// Shared memory of a block, in sums.
  DEEPLIGHT_HOST_DEVICE std::int64_t block_size() const {
    const std::int64_t tiles =
        std::int64_t(tile_rows) * grad_pitch() + std::int64_t(image_rows()) * image_pitch();
    const std::int64_t sums = std::int64_t(sharing()) * correlation_taps * slices();
    return tiles > sums ? tiles : sums;
  }
  DEEPLIGHT_HOST_DEVICE std::int64_t tiles() const {
    return batch * ((out_height + tile_rows - 1) / tile_rows) *
           ((out_width + correlation_columns - 1) / correlation_columns);
  }
};

}  // namespace deeplight::kernels
