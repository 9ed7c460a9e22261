// Backward of affine_warp_cpu.hpp, without torch: what a block of output pixels adds to the
// gradient of the image and to that of the matrix.
#pragma once

#include <cstdint>

#include "deeplight/kernels/image_view.hpp"
#include "deeplight/kernels/warp_positions.hpp"

namespace deeplight::kernels {
inline namespace DEEPLIGHT_SIMD_TAG {
namespace warp_detail {

/// target[neighbour k of i] += weight[k][i] * source[i] for a run; the four passes stay in order.
template <class T, class Arch, class Offset>
void spread_run(const WarpPositions<T, Offset>& at, const T* source, T* target, std::int64_t a,
                std::int64_t b) {
  using Pack = simd::Pack<T, Arch>;
  for (int k = 0; k < 4; ++k) {
    T* to = target + at.offset[k][a] - a;
    std::int64_t i = a;
    for (; i + Pack::width <= b; i += Pack::width)
      fma(Pack::load(at.weight[k] + i), Pack::load(source + i), Pack::load(to + i)).store(to + i);
    for (; i < b; ++i) to[i] += at.weight[k][i] * source[i];
  }
}

template <class T, class Arch, class Offset>
void spread(const WarpGeometry& g, const T* matrix, const ImageView<const T>& grad,
            const ImageView<T>& grad_image, std::int64_t sample, std::int64_t first_channel,
            std::int64_t last_channel) {
  const ImageView<const T> layout{grad_image.data, grad_image.sample, grad_image.channel,
                                  grad_image.row, grad_image.column};
  for_each_block<T, Offset>(
      g, layout, matrix, sample * g.out_height, (sample + 1) * g.out_height,
      [&](std::int64_t, std::int64_t row, std::int64_t first, const auto& at) {
        const ImageView<const T> from = grad.from(sample, row, first);
        if (grad_image.channel == 1 && from.channel == 1 && last_channel - first_channel > 1) {
          T* whole = grad_image.data + sample * grad_image.sample + first_channel;
          for (std::int64_t i = 0; i < at.count; ++i) {
            const T* DEEPLIGHT_RESTRICT source = from.data + i * from.column + first_channel;
            for (int k = 0; k < 4; ++k) {
              const T weight = at.weight[k][i];
              T* DEEPLIGHT_RESTRICT target = whole + at.offset[k][i];
              for (std::int64_t c = 0; c < last_channel - first_channel; ++c)
                target[c] += weight * source[c];
            }
          }
          return;
        }
        for (std::int64_t c = first_channel; c < last_channel; ++c) {
          const T* source = from.data + c * from.channel;
          T* target = grad_image.data + sample * grad_image.sample + c * grad_image.channel;
          if (c + planes_ahead < last_channel)
            prefetch_block(at, target + planes_ahead * grad_image.channel,
                           source + planes_ahead * from.channel);
          if (grad_image.column == 1 && from.column == 1) {
            for (std::int64_t run = 0; run < at.runs; ++run)
              spread_run<T, Arch>(at, source, target, at.run_start[run], at.run_start[run + 1]);
          } else {
            for (std::int64_t i = 0; i < at.count; ++i)
              for (int k = 0; k < 4; ++k)
                target[at.offset[k][i]] += at.weight[k][i] * source[i * from.column];
          }
        }
      });
}

/// How the result of a block moves with its displacement, times the gradient above, added up over
/// the channels.
template <class T>
struct BlockSlopes {
  T x[warp_block], y[warp_block];
};

/// One channel: runs by vectors, as in `blend_row`.
template <class T, class Arch, class Offset>
void add_slopes(const WarpPositions<T, Offset>& at, const T* source, const T* above,
                BlockSlopes<T>& to) {
  using Pack = simd::Pack<T, Arch>;
  for (std::int64_t run = 0; run < at.runs; ++run) {
    const std::int64_t a = at.run_start[run], b = at.run_start[run + 1];
    std::int64_t i = a;
    if (b - a > 1) {
      // Pixels that follow each other are inner ones: every neighbour is inside.
      const T* start[4];
      for (int k = 0; k < 4; ++k) start[k] = source + at.offset[k][a] - a;
      for (; i + Pack::width <= b; i += Pack::width) {
        const Pack v0 = Pack::load(start[0] + i), v1 = Pack::load(start[1] + i);
        const Pack v2 = Pack::load(start[2] + i), v3 = Pack::load(start[3] + i);
        const Pack fx = Pack::load(at.x + i), fy = Pack::load(at.y + i), one = Pack::all(T(1));
        const Pack own = Pack::load(above + i);
        fma(own, fma(v3 - v2, fy, (v1 - v0) * (one - fy)), Pack::load(to.x + i)).store(to.x + i);
        fma(own, fma(v3 - v1, fx, (v2 - v0) * (one - fx)), Pack::load(to.y + i)).store(to.y + i);
      }
    }
    for (; i < b; ++i) {
      const T v0 = term(at.inside[0][i], source[at.offset[0][i]]);
      const T v1 = term(at.inside[1][i], source[at.offset[1][i]]);
      const T v2 = term(at.inside[2][i], source[at.offset[2][i]]);
      const T v3 = term(at.inside[3][i], source[at.offset[3][i]]);
      const T fx = at.x[i], fy = at.y[i];
      to.x[i] += above[i] * ((v1 - v0) * (1 - fy) + (v3 - v2) * fy);
      to.y[i] += above[i] * ((v2 - v0) * (1 - fx) + (v3 - v1) * fx);
    }
  }
}

/// All channels of each pixel, which lie together in image and gradient.
template <class T, class Arch, class Offset>
void add_pixel_slopes(const WarpPositions<T, Offset>& at, const T* whole,
                      const ImageView<const T>& above, std::int64_t channels, BlockSlopes<T>& to) {
  using Pack = simd::Pack<T, Arch>;
  for (std::int64_t i = 0; i < at.count; ++i) {
    const T* own = above.data + i * above.column;
    const T fx = at.x[i], fy = at.y[i];
    const auto value = [&](int k, std::int64_t c) {
      return term(at.inside[k][i], whole[at.offset[k][i] + c]);
    };
    const auto pack = [&](int k, std::int64_t c) {
      return at.inside[k][i] == 0 ? Pack::zero() : Pack::load(whole + at.offset[k][i] + c);
    };
    Pack x = Pack::zero(), y = Pack::zero();
    std::int64_t c = 0;
    for (; c + Pack::width <= channels; c += Pack::width) {
      const Pack v0 = pack(0, c), v1 = pack(1, c), v2 = pack(2, c), v3 = pack(3, c);
      const Pack grad = Pack::load(own + c);
      x = fma(grad, fma(v3 - v2, Pack::all(fy), (v1 - v0) * Pack::all(1 - fy)), x);
      y = fma(grad, fma(v3 - v1, Pack::all(fx), (v2 - v0) * Pack::all(1 - fx)), y);
    }
    to.x[i] = x.sum(), to.y[i] = y.sum();
    for (; c < channels; ++c) {
      const T v0 = value(0, c), v1 = value(1, c), v2 = value(2, c), v3 = value(3, c);
      to.x[i] += own[c] * ((v1 - v0) * (1 - fy) + (v3 - v2) * fy);
      to.y[i] += own[c] * ((v2 - v0) * (1 - fx) + (v3 - v1) * fx);
    }
  }
}

/// sums[6] += those of the block that starts at column `first`. Lanes keep eight sums apart, which
/// are added in order.
template <class T, class Offset>
void add_matrix_sums(const WarpGeometry& g, const WarpPositions<T, Offset>& at,
                     BlockSlopes<T>& slopes, std::int64_t row, std::int64_t first, double* sums) {
  constexpr std::int64_t lanes = 8;
  static_assert(warp_block % lanes == 0);
  for (std::int64_t i = 0; i < at.count; ++i) {
    slopes.x[i] *= at.slope_x[i];
    slopes.y[i] *= at.slope_y[i];
  }
  for (std::int64_t i = at.count; i < warp_block; ++i) slopes.x[i] = slopes.y[i] = 0;
  double parts[4][lanes] = {};
  const double start = static_cast<double>(first) - g.centre_x;
  for (std::int64_t i = 0; i < at.count; i += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const double right = start + static_cast<double>(static_cast<int>(i + lane));
      const auto x = static_cast<double>(slopes.x[i + lane]);
      const auto y = static_cast<double>(slopes.y[i + lane]);
      parts[0][lane] += x * right;
      parts[1][lane] += x;
      parts[2][lane] += y * right;
      parts[3][lane] += y;
    }
  }
  double total[4] = {};
  for (int k = 0; k < 4; ++k)
    for (std::int64_t lane = 0; lane < lanes; ++lane) total[k] += parts[k][lane];
  const double down = static_cast<double>(row) - g.centre_y;
  sums[0] += total[0], sums[1] += total[1] * down, sums[2] += total[1];
  sums[3] += total[2], sums[4] += total[3] * down, sums[5] += total[3];
}

template <class T, class Arch, class Offset>
void matrix_rows(const WarpGeometry& g, const ImageView<const T>& image, const T* matrix,
                 const ImageView<const T>& grad, double* rows, std::int64_t begin,
                 std::int64_t end) {
  for (std::int64_t i = begin * 6; i < end * 6; ++i) rows[i] = 0;
  BlockSlopes<T> slopes;
  T copied[warp_block];
  for_each_block<T, Offset>(
      g, image, matrix, begin, end,
      [&](std::int64_t sample, std::int64_t row, std::int64_t first, const auto& at) {
        const ImageView<const T> from = grad.from(sample, row, first);
        const T* whole = image.data + sample * image.sample;
        if (image.channel == 1 && from.channel == 1 && g.channels > 1) {
          add_pixel_slopes<T, Arch>(at, whole, from, g.channels, slopes);
        } else {
          for (std::int64_t i = 0; i < at.count; ++i) slopes.x[i] = slopes.y[i] = 0;
          for (std::int64_t c = 0; c < g.channels; ++c) {
            const T *above = from.data + c * from.channel, *source = whole + c * image.channel;
            if (c + planes_ahead < g.channels)
              prefetch_block(at, source + planes_ahead * image.channel,
                             above + planes_ahead * from.channel);
            if (from.column != 1) {
              for (std::int64_t i = 0; i < at.count; ++i) copied[i] = above[i * from.column];
              above = copied;
            }
            add_slopes<T, Arch>(at, source, above, slopes);
          }
        }
        add_matrix_sums(g, at, slopes, row, first, rows + (sample * g.out_height + row) * 6);
      });
}

}  // namespace warp_detail
}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
