// Sizes of a deformable convolution and its sampling point, shared by the CPU and CUDA kernels.
#pragma once

#include <cstdint>

#include "deeplight/kernels/host_device.hpp"

namespace deeplight::kernels {

/// Sizes of one deformable convolution of one sample.
struct DeformGeometry {
  std::int64_t channels = 0, height = 0, width = 0;
  std::int64_t kernel_h = 0, kernel_w = 0;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t offset_groups = 1;
  std::int64_t out_height = 0, out_width = 0;

  DEEPLIGHT_HOST_DEVICE std::int64_t taps() const { return kernel_h * kernel_w; }
  DEEPLIGHT_HOST_DEVICE std::int64_t positions() const { return out_height * out_width; }
  DEEPLIGHT_HOST_DEVICE std::int64_t channels_per_group() const { return channels / offset_groups; }
};

/// Heights, widths and the reach of the kernel stay below this, so that row numbers fit 32 bits.
inline constexpr std::int64_t deform_side_limit = std::int64_t(1) << 28;

/// One coordinate of a sampling point, `base + offset`: the pixel below it and the distance to it.
/// The two are kept apart because their sum would round the fraction away on a large image.
template <class T>
struct DeformAxis {
  std::int32_t pixel;   // floor(base + offset), meaningless unless inside
  T fraction;           // in [0, 1]
  std::int32_t inside;  // 1 where -1 < base + offset < size; 0 also for NaN and infinity

  /// |base| and size below `deform_side_limit`.
  static DEEPLIGHT_HOST_DEVICE DeformAxis at(std::int32_t base, T offset, std::int32_t size) {
    // Without branches, so that loops over points become vectors. NaN fails the first comparison
    // and so becomes the far limit, which lies outside of every image.
    const T far = T(2 * deform_side_limit);
    const T below = offset < far ? offset : far;
    const T safe = below > -far ? below : -far;
    const std::int32_t cut = static_cast<std::int32_t>(safe);
    const std::int32_t whole = cut - (T(cut) > safe ? 1 : 0);
    const T fraction = safe - T(whole);
    const std::int32_t pixel = base + whole;
    const std::int32_t edge = (pixel == -1 ? 1 : 0) & (fraction > T(0) ? 1 : 0);
    const std::int32_t inside = ((pixel >= 0 ? 1 : 0) | edge) & (pixel < size ? 1 : 0);
    return {pixel, fraction, inside};
  }
};

}  // namespace deeplight::kernels
