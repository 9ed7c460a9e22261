// Backward passes of projection_conv_cpu.hpp, without torch: through the activation, and to the
// weights. The gradient of the input is the projection of the other direction.
//
// Along a row of the larger image lie all taps that a pixel of the smaller one meets, as
// kernel_w * channels consecutive numbers; so the gradient of a row of taps is one matrix product
// of a row of either image, and nothing is unfolded:
//
//   small [pixels, S]^T  x  large [pixels, kernel_w * L], rows overlapping  ->  [S, kernel_w * L]
#pragma once

#include <cstdint>

#include "deeplight/core/parallel.hpp"
#include "deeplight/kernels/gemm_cpu.hpp"
#include "deeplight/kernels/image_view.hpp"

namespace deeplight::kernels {

/// From the gradient of a result to that of its sums: grad * (sums > 0 ? 1 : slope), written
/// channels last, with a border of zeros. Without `sums` it only copies.
template <class T>
struct ProjectionTailGradient {
  std::int64_t batch = 0, channels = 0, rows = 0, columns = 0;
  ImageView<const T> grad{};
  ImageView<const T> sums{};
  const T* slope = nullptr;  ///< [channels], with sums
  /// [batch][out_rows][out_columns][channels]; pixel (0, 0) of the image stands at (top, left).
  T* out = nullptr;
  std::int64_t out_rows = 0, out_columns = 0, top = 0, left = 0;
  std::int64_t phases = 1;  ///< of the columns, by which the bias sums are told apart
  T* bias = nullptr;        ///< takes [batch * rows][phases][channels], sums of each row, or null
  T* by_slope = nullptr;    ///< takes [batch * rows][channels], or null
};

/// The two images between which a weight gradient sums: `small` is a convolution's output or a
/// transposed one's input, `large` the other. Both channels last; `large` starts `padding` pixels
/// before the image, holds all that is read, and `gradient_slack` numbers more.
template <class T>
struct ProjectionPair {
  std::int64_t batch = 0;
  std::int64_t small_channels = 0, small_rows = 0, small_columns = 0;
  std::int64_t large_channels = 0, large_rows = 0, large_columns = 0;
  std::int64_t kernel_h = 0, kernel_w = 0, stride_h = 1, stride_w = 1;
  const T* small = nullptr;  ///< [B][small_rows][small_columns][small_channels]
  const T* large = nullptr;  ///< [B][large_rows][large_columns][large_channels]
  std::int64_t parts = 1;    ///< of the rows, each summed on its own
};

/// Numbers after the last pixel of `large` that products may read, and ignore.
inline constexpr std::int64_t gradient_slack = 16;

inline namespace DEEPLIGHT_SIMD_TAG {
namespace projection_detail {

/// Gradients of `count` pixels in place, and their sums.
template <class T>
void rectify_gradient(T* DEEPLIGHT_RESTRICT grad, const T* DEEPLIGHT_RESTRICT sums,
                      std::int64_t sums_step, const T* DEEPLIGHT_RESTRICT slope,
                      T* DEEPLIGHT_RESTRICT by_slope, std::int64_t channels, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i, grad += channels, sums += sums_step) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const T sum = sums[c], above = grad[c];
      const bool passes = sum > 0;
      grad[c] = passes ? above : above * slope[c];
      by_slope[c] += passes ? T(0) : above * sum;
    }
  }
}

template <class T>
void add_to_bias(const T* DEEPLIGHT_RESTRICT grad, T* DEEPLIGHT_RESTRICT bias, std::int64_t phases,
                 std::int64_t first, std::int64_t channels, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i, grad += channels) {
    T* DEEPLIGHT_RESTRICT own = bias + (first + i) % phases * channels;
    for (std::int64_t c = 0; c < channels; ++c) own[c] += grad[c];
  }
}

template <class T>
void clear(T* data, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) data[i] = T(0);
}

/// One row of the image, to channels last.
template <class T>
void tail_row(const ProjectionTailGradient<T>& t, std::int64_t sample, std::int64_t y, T* to,
              T* scratch, std::int64_t block) {
  const std::int64_t row = sample * t.rows + y;
  T* slopes = t.by_slope ? t.by_slope + row * t.channels : scratch + block * t.channels;
  T* bias = t.bias ? t.bias + row * t.phases * t.channels : nullptr;
  clear(slopes, t.channels);
  if (bias) clear(bias, t.phases * t.channels);
  for (std::int64_t x = 0; x < t.columns; x += block) {
    const std::int64_t count = x + block < t.columns ? block : t.columns - x;
    T* pixels = to + x * t.channels;
    copy_pixels(t.grad.from(sample, y, x), ImageView<T>{pixels, 0, 1, 0, t.channels}, t.channels,
                count);
    if (t.sums.data) {
      auto sums = t.sums.from(sample, y, x);
      if (sums.channel != 1) {
        copy_pixels(sums, ImageView<T>{scratch, 0, 1, 0, t.channels}, t.channels, count);
        sums = {scratch, 0, 1, 0, t.channels};
      }
      rectify_gradient(pixels, sums.data, sums.column, t.slope, slopes, t.channels, count);
    }
    if (bias) add_to_bias(pixels, bias, t.phases, x, t.channels, count);
  }
}

}  // namespace projection_detail

template <class T>
void projection_tail_gradient(const ProjectionTailGradient<T>& t, const ParallelFor& parallel) {
  constexpr std::int64_t block = 64;
  parallel(0, t.batch * t.out_rows, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<T> scratch((block + 1) * t.channels);
    for (std::int64_t item = begin; item < end; ++item) {
      T* to = t.out + item * t.out_columns * t.channels;
      const std::int64_t y = item % t.out_rows - t.top;
      if (y < 0 || y >= t.rows) {
        projection_detail::clear(to, t.out_columns * t.channels);
        continue;
      }
      const std::int64_t left = t.left * t.channels, right = left + t.columns * t.channels;
      projection_detail::clear(to, left);
      projection_detail::tail_row(t, item / t.out_rows, y, to + left, scratch.data(), block);
      projection_detail::clear(to + right, t.out_columns * t.channels - right);
    }
  });
}

/// Columns of the gradient as `projection_weight_gradient` writes it.
template <class T, class Arch>
std::int64_t projection_gradient_width(const ProjectionPair<T>& pair) {
  return padded_columns<T, Arch>(pair.kernel_w * pair.large_channels);
}

/// Gradient of the weights: [parts][ky][small channels][gradient width], overwritten; the first
/// kernel_w * large channels of a row count. Parts are to be added in order.
template <class T, class Arch>
void projection_weight_gradient(const ProjectionPair<T>& pair, T* gradient,
                                const ParallelFor& parallel) {
  // What the products of a step read, and the sums, stay in the L1 cache.
  constexpr std::int64_t step = 64;
  const std::int64_t width = projection_gradient_width<T, Arch>(pair);
  const std::int64_t size = pair.small_channels * width, rows = pair.batch * pair.small_rows;
  parallel(0, pair.parts * pair.kernel_h, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t part = item / pair.kernel_h, ky = item % pair.kernel_h;
      GemmBlock<T> product;
      product.rows = pair.small_channels;
      product.columns = pair.kernel_w * pair.large_channels;
      product.a_row = 1;
      product.a_depth = pair.small_channels;
      product.b_depth = pair.stride_w * pair.large_channels;
      product.c = gradient + item * size;
      product.c_row = width;
      projection_detail::clear(product.c, size);
      for (std::int64_t row = rows * part / pair.parts; row < rows * (part + 1) / pair.parts;
           ++row) {
        const std::int64_t y = row % pair.small_rows * pair.stride_h + ky;
        const std::int64_t line = row / pair.small_rows * pair.large_rows + y;
        for (std::int64_t x = 0; x < pair.small_columns; x += step) {
          product.depth = x + step < pair.small_columns ? step : pair.small_columns - x;
          product.a = pair.small + (row * pair.small_columns + x) * pair.small_channels;
          product.b =
              pair.large + (line * pair.large_columns + x * pair.stride_w) * pair.large_channels;
          gemm_accumulate<T, Arch>(product);
        }
      }
    }
  });
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
