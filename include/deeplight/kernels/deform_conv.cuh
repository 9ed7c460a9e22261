// What the CUDA kernels of deformable convolution share; rules as in deform_conv_cpu.hpp.
//
// Image [B, C, H, W]; offset [B, G*K*2, OH*OW]; mask [B, G*K, OH*OW] or null.
#pragma once

#include <cstdint>

#include "deeplight/kernels/block_product.cuh"
#include "deeplight/kernels/deform_fusion.hpp"

namespace deeplight::kernels {

/// Where one position and tap sample: the first of four neighbours, which of them exist, and the
/// way to the others.
template <class Sum>
struct DevicePoint {
  std::int64_t first = 0;  ///< of a plane, row by row; the neighbours lie at +1, +width, +width + 1
  Sum fy = 0, fx = 0;
  unsigned valid = 0;  ///< a bit for each neighbour

  __device__ __forceinline__ bool has(int corner) const { return (valid >> corner & 1U) != 0; }
  __device__ __forceinline__ std::int64_t index(int corner, std::int64_t width) const {
    return first + (corner >= 2 ? width : 0) + corner % 2;
  }
  __device__ __forceinline__ Sum weight(int corner) const {
    return (corner >= 2 ? fy : 1 - fy) * (corner % 2 == 1 ? fx : 1 - fx);
  }
};

/// The sampling point of one position, tap and offset group, by the CPU's own arithmetic.
template <class T>
__device__ __forceinline__ DevicePoint<Wide<T>> point_of(const DeformGeometry& g, const T* offset,
                                                         std::int64_t slot, std::int64_t p) {
  using Sum = Wide<T>;
  const std::int64_t positions = g.out_height * g.out_width;
  const std::int64_t tap = slot % (g.kernel_h * g.kernel_w);
  const auto y = DeformAxis<Sum>::at(
      int((p / g.out_width) * g.stride_h + (tap / g.kernel_w) * g.dilation_h - g.pad_h),
      Sum(offset[slot * 2 * positions + p]), int(g.height));
  const auto x = DeformAxis<Sum>::at(
      int((p % g.out_width) * g.stride_w + (tap % g.kernel_w) * g.dilation_w - g.pad_w),
      Sum(offset[(slot * 2 + 1) * positions + p]), int(g.width));
  DevicePoint<Sum> point;
  if (!(y.inside & x.inside)) return point;
  point.first = y.pixel * g.width + x.pixel;
  point.fy = y.fraction, point.fx = x.fraction;
  const unsigned columns = (x.pixel >= 0 ? 1U : 0U) | (x.pixel + 1 < g.width ? 2U : 0U);
  point.valid = (y.pixel >= 0 ? columns : 0U) | (y.pixel + 1 < g.height ? columns << 2U : 0U);
  return point;
}

}  // namespace deeplight::kernels
