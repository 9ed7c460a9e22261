// The kernels of 3x3 convolution for one instruction set.
#pragma once

#include "deeplight/kernels/narrow_conv_cpu.hpp"
#include "deeplight/kernels/winograd_conv_cpu.hpp"

namespace deeplight::kernels {

struct Conv3x3Table {
  /// weight [out, in, 3, 3] -> transformed [36 * in * out], whose order is this set's own.
  void (*transform_weight)(const Conv3x3Geometry&, const float* weight, float* transformed,
                           const ParallelFor&);
  /// out [B, H, W, out] of image [B, H, W, in]; bias [out]; channels are multiples of 16.
  void (*winograd)(const Conv3x3Geometry&, const float* image, const float* transformed,
                   const float* bias, float* out, const ParallelFor&);
  /// The same of weight [out, in, 3, 3] itself: for few outputs, any channels.
  void (*narrow)(const Conv3x3Geometry&, const float* image, const float* weight, const float* bias,
                 float* out, const ParallelFor&);
};

inline namespace DEEPLIGHT_SIMD_TAG {

template <class Arch>
constexpr Conv3x3Table conv3x3_table() {
  return {winograd_detail::transform_weight<Arch>, winograd_detail::forward<Arch>,
          narrow_detail::forward<Arch>};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
