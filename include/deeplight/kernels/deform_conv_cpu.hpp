// Sampling loops of deformable convolution on raw pointers, without torch.
//
// Image [C, H, W]; offset [G*K*2, OH, OW] (per group and kernel tap: dy, dx); mask [G*K, OH, OW] or
// null (all ones); columns [C*K, OH*OW]. C channels share G offset groups; K = kernel_h * kernel_w.
// A tap outside the image, or with a NaN or infinite offset, samples 0 and has no gradient.
// Source: Dai et al. 2017 (arXiv 1703.06211), eq. 2-4; modulation: Zhu et al. 2019 (arXiv
// 1811.11168).
#pragma once

#include <cmath>
#include <cstdint>

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

  std::int64_t taps() const { return kernel_h * kernel_w; }
  std::int64_t positions() const { return out_height * out_width; }
  std::int64_t channels_per_group() const { return channels / offset_groups; }
};

/// The four neighbours of a sampling point and their bilinear weights.
template <class T>
struct BilinearTap {
  std::int64_t index[4] = {0, 0, 0, 0};  // into one channel plane; 0 with weight 0 when outside
  T weight[4] = {0, 0, 0, 0};
  T weight_dy[4] = {0, 0, 0, 0};  // derivative of each weight by y and by x
  T weight_dx[4] = {0, 0, 0, 0};

  static BilinearTap at(T y, T x, std::int64_t height, std::int64_t width) {
    BilinearTap tap;
    // Written so that NaN fails the comparison.
    if (!(y > T(-1) && y < T(height) && x > T(-1) && x < T(width))) return tap;
    const T floor_y = std::floor(y), floor_x = std::floor(x);
    const T ly = y - floor_y, lx = x - floor_x;
    const std::int64_t y0 = static_cast<std::int64_t>(floor_y);
    const std::int64_t x0 = static_cast<std::int64_t>(floor_x);
    for (int corner = 0; corner < 4; ++corner) {
      const bool low = corner < 2, left = corner % 2 == 0;
      const std::int64_t row = y0 + (low ? 0 : 1), column = x0 + (left ? 0 : 1);
      if (row < 0 || row >= height || column < 0 || column >= width) continue;
      const T wy = low ? 1 - ly : ly, wx = left ? 1 - lx : lx;
      tap.index[corner] = row * width + column;
      tap.weight[corner] = wy * wx;
      tap.weight_dy[corner] = low ? -wx : wx;
      tap.weight_dx[corner] = left ? -wy : wy;
    }
    return tap;
  }
};

/// Calls visit(group, tap, position, BilinearTap) for every sampling point, in a fixed order.
template <class T, class Visit>
void for_each_tap(const DeformGeometry& g, const T* offset, const Visit& visit) {
  const std::int64_t taps = g.taps(), positions = g.positions();
  for (std::int64_t group = 0; group < g.offset_groups; ++group) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const T* dy = offset + (group * taps + tap) * 2 * positions;
      const T* dx = dy + positions;
      const std::int64_t tap_y = (tap / g.kernel_w) * g.dilation_h - g.pad_h;
      const std::int64_t tap_x = (tap % g.kernel_w) * g.dilation_w - g.pad_w;
      for (std::int64_t p = 0; p < positions; ++p) {
        const T y = T((p / g.out_width) * g.stride_h + tap_y) + dy[p];
        const T x = T((p % g.out_width) * g.stride_w + tap_x) + dx[p];
        visit(group, tap, p, BilinearTap<T>::at(y, x, g.height, g.width));
      }
    }
  }
}

/// columns[c*K + tap, p] = mask * bilinear(image[c], p + tap + offset).
template <class T>
void deform_columns(const DeformGeometry& g, const T* image, const T* offset, const T* mask,
                    T* columns) {
  const std::int64_t taps = g.taps(), positions = g.positions(), plane = g.height * g.width;
  for_each_tap(g, offset,
               [&](std::int64_t group, std::int64_t tap, std::int64_t p, const BilinearTap<T>& at) {
                 const T scale = mask ? mask[(group * taps + tap) * positions + p] : T(1);
                 for (std::int64_t c = 0; c < g.channels_per_group(); ++c) {
                   const std::int64_t channel = group * g.channels_per_group() + c;
                   const T* source = image + channel * plane;
                   T value = 0;
                   for (int corner = 0; corner < 4; ++corner)
                     value += at.weight[corner] * source[at.index[corner]];
                   columns[(channel * taps + tap) * positions + p] = scale * value;
                 }
               });
}

/// Gradients of `deform_columns`. Each of grad_image, grad_offset, grad_mask may be null; they are
/// accumulated into (grad_image) or overwritten (the others). Sequential, hence deterministic.
template <class T>
void deform_columns_backward(const DeformGeometry& g, const T* image, const T* offset,
                             const T* mask, const T* grad_columns, T* grad_image, T* grad_offset,
                             T* grad_mask) {
  const std::int64_t taps = g.taps(), positions = g.positions(), plane = g.height * g.width;
  for_each_tap(g, offset,
               [&](std::int64_t group, std::int64_t tap, std::int64_t p, const BilinearTap<T>& at) {
                 const std::int64_t slot = group * taps + tap;
                 const T scale = mask ? mask[slot * positions + p] : T(1);
                 T by_y = 0, by_x = 0, by_mask = 0;
                 for (std::int64_t c = 0; c < g.channels_per_group(); ++c) {
                   const std::int64_t channel = group * g.channels_per_group() + c;
                   const T grad = grad_columns[(channel * taps + tap) * positions + p];
                   for (int corner = 0; corner < 4; ++corner) {
                     const T value = image[channel * plane + at.index[corner]];
                     if (grad_image)
                       grad_image[channel * plane + at.index[corner]] +=
                           grad * scale * at.weight[corner];
                     by_y += grad * at.weight_dy[corner] * value;
                     by_x += grad * at.weight_dx[corner] * value;
                     by_mask += grad * at.weight[corner] * value;
                   }
                 }
                 if (grad_offset) {
                   grad_offset[slot * 2 * positions + p] = by_y * scale;
                   grad_offset[(slot * 2 + 1) * positions + p] = by_x * scale;
                 }
                 if (grad_mask) grad_mask[slot * positions + p] = by_mask;
               });
}

}  // namespace deeplight::kernels
