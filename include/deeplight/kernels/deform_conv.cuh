// CUDA sampling kernels of deformable convolution; rules as in deform_conv_cpu.hpp.
//
// Image [C, H, W]; offset [G*K*2, OH*OW]; mask [G*K, OH*OW] or null; columns [C*K, OH*OW].
//
// One thread per sampling point (group, tap, position): it loops over the channels of its group, so
// that the bilinear weights are computed once. Callers work in strips of positions, so that columns
// never exist as a whole. The image gradient is scattered with atomicAdd: its summation order, and
// so its last bits, may differ between runs; `deform_corners_kernel` serves the callers that need
// one order.
#pragma once

#include <cstdint>

#include "deeplight/kernels/cuda_block.cuh"
#include "deeplight/kernels/deform_point.hpp"

namespace deeplight::kernels {

template <class T>
struct DeviceTap {
  std::int64_t index[4];
  T weight[4], weight_dy[4], weight_dx[4];
};

/// The sampling point of one position, tap and offset group, by the CPU's own arithmetic.
template <class T>
__device__ __forceinline__ DeviceTap<Wide<T>> tap_of(const DeformGeometry& g, const T* offset,
                                                     std::int64_t slot, std::int64_t p) {
  using Sum = Wide<T>;
  const std::int64_t positions = g.out_height * g.out_width;
  const std::int64_t at = slot % (g.kernel_h * g.kernel_w);
  const auto y = DeformAxis<Sum>::at(
      int((p / g.out_width) * g.stride_h + (at / g.kernel_w) * g.dilation_h - g.pad_h),
      Sum(offset[slot * 2 * positions + p]), int(g.height));
  const auto x = DeformAxis<Sum>::at(
      int((p % g.out_width) * g.stride_w + (at % g.kernel_w) * g.dilation_w - g.pad_w),
      Sum(offset[(slot * 2 + 1) * positions + p]), int(g.width));
  DeviceTap<Sum> tap;
  DEEPLIGHT_UNROLL
  for (int corner = 0; corner < 4; ++corner) {
    const bool low = corner < 2, left = corner % 2 == 0;
    const int row = y.pixel + (low ? 0 : 1), column = x.pixel + (left ? 0 : 1);
    const bool valid =
        (y.inside & x.inside) && row >= 0 && row < g.height && column >= 0 && column < g.width;
    const Sum wy = low ? 1 - y.fraction : y.fraction, wx = left ? 1 - x.fraction : x.fraction;
    tap.index[corner] = valid ? row * g.width + column : -1;
    tap.weight[corner] = valid ? wy * wx : Sum(0);
    tap.weight_dy[corner] = !valid ? Sum(0) : low ? -wx : wx;
    tap.weight_dx[corner] = !valid ? Sum(0) : left ? -wy : wy;
  }
  return tap;
}

/// Columns [C*K, count] of the positions [begin, begin + count).
template <class T>
static __global__ void deform_columns_kernel(DeformGeometry g, std::int64_t begin,
                                             std::int64_t count, const T* image, const T* offset,
                                             const T* mask, T* columns) {
  const std::int64_t taps = g.kernel_h * g.kernel_w, positions = g.out_height * g.out_width;
  const std::int64_t total = g.offset_groups * taps * count;
  const std::int64_t per_group = g.channels / g.offset_groups, plane = g.height * g.width;
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < total;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    const std::int64_t slot = i / count, p = begin + i % count;
    const DeviceTap<T> at = tap_of(g, offset, slot, p);
    const T scale = mask ? mask[slot * positions + p] : T(1);
    for (std::int64_t c = 0; c < per_group; ++c) {
      const std::int64_t channel = (slot / taps) * per_group + c;
      const T* source = image + channel * plane;
      T value = 0;
      DEEPLIGHT_UNROLL
      for (int corner = 0; corner < 4; ++corner)
        if (at.index[corner] >= 0) value += at.weight[corner] * source[at.index[corner]];
      columns[(channel * taps + slot % taps) * count + i % count] = scale * value;
    }
  }
}

/// Gradients from those of the columns [C*K, count]. Null grad_image: it is not scattered here.
template <class T>
static __global__ void deform_columns_backward_kernel(DeformGeometry g, std::int64_t begin,
                                                      std::int64_t count, const T* image,
                                                      const T* offset, const T* mask,
                                                      const T* grad_columns, T* grad_image,
                                                      T* grad_offset, T* grad_mask) {
  const std::int64_t taps = g.kernel_h * g.kernel_w, positions = g.out_height * g.out_width;
  const std::int64_t total = g.offset_groups * taps * count;
  const std::int64_t per_group = g.channels / g.offset_groups, plane = g.height * g.width;
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < total;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    const std::int64_t slot = i / count, p = begin + i % count;
    const DeviceTap<T> at = tap_of(g, offset, slot, p);
    const T scale = mask ? mask[slot * positions + p] : T(1);
    T by_y = 0, by_x = 0, by_mask = 0;
    for (std::int64_t c = 0; c < per_group; ++c) {
      const std::int64_t channel = (slot / taps) * per_group + c;
      const T grad = grad_columns[(channel * taps + slot % taps) * count + i % count];
      DEEPLIGHT_UNROLL
      for (int corner = 0; corner < 4; ++corner) {
        if (at.index[corner] < 0) continue;
        const std::int64_t pixel = channel * plane + at.index[corner];
        if (grad_image) atomicAdd(grad_image + pixel, grad * scale * at.weight[corner]);
        by_y += grad * at.weight_dy[corner] * image[pixel];
        by_x += grad * at.weight_dx[corner] * image[pixel];
        by_mask += grad * at.weight[corner] * image[pixel];
      }
    }
    grad_offset[slot * 2 * positions + p] = by_y * scale;
    grad_offset[(slot * 2 + 1) * positions + p] = by_x * scale;
    if (grad_mask) grad_mask[slot * positions + p] = by_mask;
  }
}

/// Where one tap scatters, for a scatter in a fixed order: pixels [4, count] (0 with weight 0 where
/// there is none) and weights [4, count], mask included.
template <class T>
static __global__ void deform_corners_kernel(DeformGeometry g, std::int64_t slot,
                                             std::int64_t begin, std::int64_t count,
                                             const T* offset, const T* mask, std::int64_t* pixels,
                                             T* weights) {
  const std::int64_t positions = g.out_height * g.out_width;
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < count;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    const DeviceTap<T> at = tap_of(g, offset, slot, begin + i);
    const T scale = mask ? mask[slot * positions + begin + i] : T(1);
    DEEPLIGHT_UNROLL
    for (int corner = 0; corner < 4; ++corner) {
      const bool valid = at.index[corner] >= 0;
      pixels[corner * count + i] = valid ? at.index[corner] : 0;
      weights[corner * count + i] = valid ? scale * at.weight[corner] : T(0);
    }
  }
}

}  // namespace deeplight::kernels
