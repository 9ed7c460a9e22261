// Bilinear sampling of an image at affinely displaced pixels, without torch and without a grid.
//
//   out(y, x) = image(y + dy, x + dx),  d = clamp(linear (x - centre) + shift, +-max_shift)
//
// in pixels. The integer part of a displacement is split off before interpolation, so that no
// displacement is the identity exactly and a tile's values are the whole image's. Positions are
// computed for a block of a row and shared by the channels; nothing of the image's size is stored.
// A displacement that is NaN or infinite samples 0 and has no gradient.
// Source: Jaderberg et al. 2015 (arXiv 1506.02025), section 3.2-3.3.
#pragma once

#include <cstdint>
#include <type_traits>

#include "deeplight/core/parallel.hpp"
#include "deeplight/kernels/affine_warp_gradient_cpu.hpp"
#include "deeplight/kernels/by_type.hpp"
#include "deeplight/kernels/image_view.hpp"
#include "deeplight/kernels/warp_positions.hpp"

namespace deeplight::kernels {

/// The kernels of one instruction set. `matrix` is [matrices, 2, 3], rows (x, y).
template <class T>
struct WarpTable {
  void (*forward)(const WarpGeometry&, const ImageView<const T>& image, const T* matrix,
                  const ImageView<T>& out, const ParallelFor&);
  /// Adds to grad_image, whose channels are each written by one thread, in a fixed order.
  void (*image_gradient)(const WarpGeometry&, const T* matrix, const ImageView<const T>& grad,
                         const ImageView<T>& grad_image, const ParallelFor&);
  /// rows: [batch, out_height, 6] sums of each row, overwritten.
  void (*matrix_gradient)(const WarpGeometry&, const ImageView<const T>& image, const T* matrix,
                          const ImageView<const T>& grad, double* rows, const ParallelFor&);
};

using WarpTables = ByType<WarpTable>;

inline namespace DEEPLIGHT_SIMD_TAG {
namespace warp_detail {

/// The four weighted neighbours of pixel i in the channel that starts at `source`.
template <class T, class Offset>
DEEPLIGHT_ALWAYS_INLINE T blend(const WarpPositions<T, Offset>& at, const T* source,
                                std::int64_t i) {
  return term(at.weight[0][i], source[at.offset[0][i]]) +
         term(at.weight[1][i], source[at.offset[1][i]]) +
         (term(at.weight[2][i], source[at.offset[2][i]]) +
          term(at.weight[3][i], source[at.offset[3][i]]));
}

/// One channel of a block: target[i] = blend(i). Runs of consecutive neighbours are read by
/// vectors, the last one overlapping the one before; gathers would cost several times more.
template <class T, class Arch, class Offset>
void blend_row(const WarpPositions<T, Offset>& at, const T* source, T* target) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  for (std::int64_t run = 0; run < at.runs; ++run) {
    const std::int64_t a = at.run_start[run], b = at.run_start[run + 1];
    if constexpr (!std::is_same_v<Arch, simd::Scalar>) {
      using Batch = xsimd::batch<T, Arch>;
      if (b - a >= width) {
        const Batch zero(T(0));
        const T* start[4];
        for (int k = 0; k < 4; ++k) start[k] = source + at.offset[k][a] - a;
        const auto blend_at = [&](std::int64_t i) {
          const auto part = [&](int k) {
            const Batch weight = Batch::load_unaligned(at.weight[k] + i);
            const Batch value = Batch::load_unaligned(start[k] + i);
            return weight * xsimd::select(weight == zero, zero, value);
          };
          ((part(0) + part(1)) + (part(2) + part(3))).store_unaligned(target + i);
        };
        for (std::int64_t i = a; i + width <= b; i += width) blend_at(i);
        if ((b - a) % width != 0) blend_at(b - width);
        continue;
      }
    }
    for (std::int64_t i = a; i < b; ++i) target[i] = blend(at, source, i);
  }
}

/// All channels of a pixel lie together: they share its neighbours and weights.
template <class T, class Offset>
void blend_pixels(const WarpPositions<T, Offset>& at, const T* whole, const ImageView<T>& to,
                  std::int64_t channels) {
  for (std::int64_t i = 0; i < at.count; ++i) {
    const T w0 = at.weight[0][i], w1 = at.weight[1][i];
    const T w2 = at.weight[2][i], w3 = at.weight[3][i];
    const T *s0 = whole + at.offset[0][i], *s1 = whole + at.offset[1][i];
    const T *s2 = whole + at.offset[2][i], *s3 = whole + at.offset[3][i];
    T* DEEPLIGHT_RESTRICT target = to.data + i * to.column;
    for (std::int64_t c = 0; c < channels; ++c)
      target[c] = term(w0, s0[c]) + term(w1, s1[c]) + (term(w2, s2[c]) + term(w3, s3[c]));
  }
}

template <class T, class Arch, class Offset>
void forward_rows(const WarpGeometry& g, const ImageView<const T>& image, const T* matrix,
                  const ImageView<T>& out, std::int64_t begin, std::int64_t end) {
  const bool channels_last = image.channel == 1 && out.channel == 1 && g.channels > 1;
  for_each_block<T, Offset>(
      g, image, matrix, begin, end,
      [&](std::int64_t sample, std::int64_t row, std::int64_t first, const auto& at) {
        const ImageView<T> to = out.from(sample, row, first);
        const T* whole = image.data + sample * image.sample;
        if (channels_last) return blend_pixels(at, whole, to, g.channels);
        for (std::int64_t c = 0; c < g.channels; ++c) {
          const T* source = whole + c * image.channel;
          T* DEEPLIGHT_RESTRICT target = to.data + c * to.channel;
          if (c + planes_ahead < g.channels)
            prefetch_block(at, source + planes_ahead * image.channel,
                           target + planes_ahead * to.channel);
          if (to.column == 1) {
            blend_row<T, Arch>(at, source, target);
          } else {
            for (std::int64_t i = 0; i < at.count; ++i)
              target[i * to.column] = blend(at, source, i);
          }
        }
      });
}

/// Whether 32 bits reach every pixel of a channel: half the width of a gather's operands.
template <class T>
bool is_short(const WarpGeometry& g, const ImageView<T>& image) {
  return (g.height - 1) * image.row + (g.width - 1) * image.column < (std::int64_t{1} << 31);
}

}  // namespace warp_detail

template <class T, class Arch>
void warp_forward(const WarpGeometry& g, const ImageView<const T>& image, const T* matrix,
                  const ImageView<T>& out, const ParallelFor& parallel) {
  parallel(0, g.batch * g.out_height, [&](std::int64_t begin, std::int64_t end) {
    if (warp_detail::is_short(g, image)) {
      warp_detail::forward_rows<T, Arch, std::int32_t>(g, image, matrix, out, begin, end);
    } else {
      warp_detail::forward_rows<T, Arch, std::int64_t>(g, image, matrix, out, begin, end);
    }
  });
}

template <class T, class Arch>
void warp_image_gradient(const WarpGeometry& g, const T* matrix, const ImageView<const T>& grad,
                         const ImageView<T>& grad_image, const ParallelFor& parallel) {
  // Of channels that lie together, a line of the cache: no two threads write to one.
  const std::int64_t together = grad_image.channel == 1 ? 16 : 8;
  const std::int64_t groups = (g.channels + together - 1) / together;
  parallel(0, g.batch * groups, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t first = item % groups * together;
      const std::int64_t last = first + together < g.channels ? first + together : g.channels;
      if (warp_detail::is_short(g, grad_image)) {
        warp_detail::spread<T, Arch, std::int32_t>(g, matrix, grad, grad_image, item / groups,
                                                   first, last);
      } else {
        warp_detail::spread<T, Arch, std::int64_t>(g, matrix, grad, grad_image, item / groups,
                                                   first, last);
      }
    }
  });
}

template <class T, class Arch>
void warp_matrix_gradient(const WarpGeometry& g, const ImageView<const T>& image, const T* matrix,
                          const ImageView<const T>& grad, double* rows,
                          const ParallelFor& parallel) {
  parallel(0, g.batch * g.out_height, [&](std::int64_t begin, std::int64_t end) {
    if (warp_detail::is_short(g, image)) {
      warp_detail::matrix_rows<T, Arch, std::int32_t>(g, image, matrix, grad, rows, begin, end);
    } else {
      warp_detail::matrix_rows<T, Arch, std::int64_t>(g, image, matrix, grad, rows, begin, end);
    }
  });
}

template <class Arch>
constexpr WarpTables warp_table() {
  return {{&warp_forward<float, Arch>, &warp_image_gradient<float, Arch>,
           &warp_matrix_gradient<float, Arch>},
          {&warp_forward<double, Arch>, &warp_image_gradient<double, Arch>,
           &warp_matrix_gradient<double, Arch>}};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
