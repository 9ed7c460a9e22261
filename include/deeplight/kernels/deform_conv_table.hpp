// What crosses between deformable convolution's callers and its CPU kernels: sizes, pointers, and
// the table of functions that one instruction set offers. Layouts: see deform_conv_cpu.hpp.
#pragma once

#include <cstdint>

#include "deeplight/kernels/by_type.hpp"
#include "deeplight/kernels/deform_point.hpp"

namespace deeplight::kernels {

/// Output positions that are computed together, at most.
inline constexpr std::int64_t deform_block = 48;
/// Rows of packed weights, and slack behind every buffer, in elements: no vector is wider.
inline constexpr std::int64_t deform_slack = 16;

/// How output positions are cut into blocks: rectangles, so that what the taps of a block sample
/// lies close together and stays in the cache. Sixteen positions wide where the image is: one line
/// of a plane.
struct DeformBlocks {
  std::int64_t width = 1, height = 1, across = 0, down = 0;

  explicit DeformBlocks(const DeformGeometry& g) {
    if (g.positions() == 0) return;
    across = (g.out_width + 15) / 16;
    width = (g.out_width + across - 1) / across;
    height = deform_block / width;
    down = (g.out_height + height - 1) / height;
  }

  std::int64_t count() const { return across * down; }
};

/// What forward and backward read.
template <class T>
struct DeformSample {
  DeformGeometry geometry;
  std::int64_t groups = 1, outputs = 0;  // of the convolution
  const T* image = nullptr;              // padded NHWC, `deform_slack` readable behind its end
  std::int64_t image_row = 0;            // elements from row to row, at least (W + 2) * C
  const T* offset = nullptr;
  const T* mask = nullptr;

  DEEPLIGHT_HOST_DEVICE std::int64_t group_channels() const { return geometry.channels / groups; }
  DEEPLIGHT_HOST_DEVICE std::int64_t group_outputs() const { return outputs / groups; }
  DEEPLIGHT_HOST_DEVICE std::int64_t padded_outputs() const {
    return (group_outputs() + deform_slack - 1) / deform_slack * deform_slack;
  }
};

template <class T>
struct DeformForward : DeformSample<T> {
  const T* weight = nullptr;  // [groups, K, C / groups, padded_outputs()], zeros in the padding
  const T* bias = nullptr;    // [outputs] or null
  T* out = nullptr;           // element (o, p) at out[o * out_channel + p * out_position]
  std::int64_t out_channel = 0, out_position = 1;  // one of them is 1
  bool streamed = false;  // larger than the caches: written around them where that is possible
};

/// Rows of a [C, H, W] image by strides, copied into the padded NHWC form.
template <class T>
struct DeformPadding {
  std::int64_t channels = 0, height = 0, width = 0;
  const T* image = nullptr;
  std::int64_t channel = 0, row = 0, column = 0;  // strides; `channel` or `column` is 1
  T* padded = nullptr;
  std::int64_t padded_row = 0;
};

template <class T>
struct DeformBackward : DeformSample<T> {
  const T* weight = nullptr;  // [groups, outputs / groups, weight_row]: K * C / groups and slack
  std::int64_t weight_row = 0;
  const T* grad =
      nullptr;  // of the output: element (o, p) at [o * grad_channel + p * grad_position]
  std::int64_t grad_channel = 0, grad_position = 1;  // one of them is 1
  T* slab = nullptr;  // like `image`, from row `slab_first` on; added to
  std::int64_t slab_first = 0;
  T* grad_offset = nullptr;     // overwritten
  T* grad_mask = nullptr;       // overwritten; null without a mask
  T* grad_weight = nullptr;     // [groups, K * C / groups, padded_outputs()], added to
  double* grad_bias = nullptr;  // [groups * padded_outputs()], added to
};

/// Rows of the padded image, [first, last].
struct DeformRows {
  std::int64_t first = 0, last = -1;
};

/// One row of the image's gradient from the slabs that cover it.
template <class T>
struct DeformGather {
  std::int64_t slabs = 0;
  const T* const* slab = nullptr;
  const DeformRows* rows = nullptr;
  std::int64_t padded_row = 0;  // elements from row to row of a slab
  std::int64_t channels = 0, width = 0;
  T* grad = nullptr;                              // [C, H, W] by strides
  std::int64_t channel = 0, row = 0, column = 0;  // `channel` or `column` is 1
};

/// The kernels of one instruction set, for one type of number.
template <class T>
struct DeformKernels {
  void (*pad)(const DeformPadding<T>&, std::int64_t, std::int64_t);
  void (*forward)(const DeformForward<T>&, std::int64_t, std::int64_t);
  DeformRows (*rows)(const DeformSample<T>&, std::int64_t, std::int64_t);
  void (*backward)(const DeformBackward<T>&, std::int64_t, std::int64_t);
  void (*gather)(const DeformGather<T>&, std::int64_t, std::int64_t);
};

/// The kernels of one instruction set.
using DeformConvTable = ByType<DeformKernels>;

}  // namespace deeplight::kernels
