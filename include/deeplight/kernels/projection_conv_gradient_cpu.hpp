// Backward passes of projection_conv_cpu.hpp, without torch: through the activation, and to the
// weights and the smaller image. The gradient of the larger image is the transposed projection.
//
// Along a row of the larger image lie all taps that a pixel of the smaller one meets, as
// kernel_w * channels consecutive numbers. Each row of it is read once, goes through the activation
// on its way to a buffer of the cache, channels last, and there both products find it:
//
//   weights  small [pixels, S]^T  x  large [pixels, kernel_w * L], rows overlapping
//   small    large [pixels, kernel_w * L], rows overlapping  x  weights [kernel_w * L, S]
#pragma once

#include <cstdint>

#include "deeplight/core/parallel.hpp"
#include "deeplight/kernels/gemm_cpu.hpp"
#include "deeplight/kernels/image_view.hpp"

namespace deeplight::kernels {

/// From the gradient of a result to that of its sums: grad * (sums > 0 ? 1 : slope). Without `sums`
/// any image that is read as it is.
template <class T>
struct ProjectionTailGradient {
  std::int64_t batch = 0, channels = 0, rows = 0, columns = 0;
  ImageView<const T> grad{};
  ImageView<const T> sums{};
  const T* slope = nullptr;  ///< [channels], with sums
  std::int64_t phases = 1;   ///< of the columns, by which the bias sums are told apart
  T* bias = nullptr;         ///< takes [batch * rows][phases][channels], sums of each row, or null
  T* by_slope = nullptr;     ///< takes [batch * rows][channels], or null
};

/// The two images that a weight stands between: `small` is a convolution's output or a transposed
/// one's input, `large` the other.
template <class T>
struct ProjectionPair {
  std::int64_t small_channels = 0, small_rows = 0, small_columns = 0;
  std::int64_t kernel_h = 0, kernel_w = 0, stride_h = 1, stride_w = 1;
  std::int64_t padding_h = 0, padding_w = 0;
  ProjectionTailGradient<T> large{};
  std::int64_t parts = 1;  ///< of the rows of `small`, each summed on its own
  /// Takes the gradient of the weights, [parts][ky][small channels][gradient width]: the first
  /// kernel_w * large channels of a row count, parts are to be added in order. Or null.
  T* gradient = nullptr;
  const T* small = nullptr;  ///< [B][small_rows][small_columns][small_channels], with `gradient`
  /// Takes the convolution of `large`, or its data is null.
  ImageView<T> out{};
  const T* weights = nullptr;  ///< with `out`, as `pack_projection_weights` made them
};

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

/// What a row adds to bias and slope; either may be null.
template <class T>
struct RowSums {
  T *bias = nullptr, *slope = nullptr;
};

template <class T>
RowSums<T> sums_of_row(const ProjectionTailGradient<T>& t, std::int64_t row) {
  return {t.bias ? t.bias + row * t.phases * t.channels : nullptr,
          t.by_slope ? t.by_slope + row * t.channels : nullptr};
}

template <class T>
void clear_sums(const ProjectionTailGradient<T>& t, const RowSums<T>& sums) {
  if (sums.bias) clear(sums.bias, t.phases * t.channels);
  if (sums.slope) clear(sums.slope, t.channels);
}

inline constexpr std::int64_t tail_block = 64;

/// Span [first, last) of a row, to channels last. @param scratch  (tail_block + 1) * channels
template <class T>
void tail_pixels(const ProjectionTailGradient<T>& t, std::int64_t sample, std::int64_t y,
                 std::int64_t first, std::int64_t last, const RowSums<T>& into, T* to, T* scratch) {
  T* slopes = into.slope ? into.slope : scratch + tail_block * t.channels;
  if (t.sums.data && !into.slope) clear(slopes, t.channels);
  for (std::int64_t x = first; x < last; x += tail_block) {
    const std::int64_t count = x + tail_block < last ? tail_block : last - x;
    T* pixels = to + (x - first) * t.channels;
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
    if (into.bias) add_to_bias(pixels, into.bias, t.phases, x, t.channels, count);
  }
}

/// Rows or columns [begin, end).
struct Span {
  std::int64_t begin, end;
  DEEPLIGHT_ALWAYS_INLINE std::int64_t inside(std::int64_t x) const {
    return x < begin ? begin : x < end ? x : end;
  }
};

/// Span [wanted.begin, wanted.end) of a row; zeros where the image ends. Those of `own` are
/// added to bias and slope.
template <class T>
void tail_row(const ProjectionTailGradient<T>& t, std::int64_t sample, std::int64_t y,
              const Span& wanted, const Span& own, const RowSums<T>& into, T* to, T* scratch) {
  const std::int64_t left = wanted.inside(0), right = wanted.inside(t.columns);
  const Span image{left, right};
  const std::int64_t cuts[] = {left, image.inside(own.begin), image.inside(own.end), right};
  const auto at = [&](std::int64_t x) { return to + (x - wanted.begin) * t.channels; };
  clear(to, (left - wanted.begin) * t.channels);
  for (int part = 0; part < 3; ++part)
    tail_pixels(t, sample, y, cuts[part], cuts[part + 1], part == 1 ? into : RowSums<T>{},
                at(cuts[part]), scratch);
  clear(at(right), (wanted.end - right) * t.channels);
}

}  // namespace projection_detail

/// The whole image to `out`, [batch][rows][columns][channels].
template <class T>
void projection_tail_gradient(const ProjectionTailGradient<T>& t, T* out,
                              const ParallelFor& parallel) {
  using namespace projection_detail;
  parallel(0, t.batch * t.rows, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<T> scratch((tail_block + 1) * t.channels);
    for (std::int64_t row = begin; row < end; ++row) {
      const auto sums = sums_of_row(t, row);
      clear_sums(t, sums);
      tail_pixels(t, row / t.rows, row % t.rows, 0, t.columns, sums,
                  out + row * t.columns * t.channels, scratch.data());
    }
  });
}

/// Span of the gradient as `projection_pair_gradient` writes it.
template <class T, class Arch>
std::int64_t projection_gradient_width(const ProjectionPair<T>& pair) {
  return padded_columns<T, Arch>(pair.kernel_w * pair.large.channels);
}

namespace projection_detail {

/// Rows [begin, end) of the smaller image of one sample, and columns [x, x + count) of it.
template <class T, class Arch>
class PairBlock {
 public:
  /// What the products of a row read and write stays near: a few rows of L1, a buffer of L2.
  static constexpr std::int64_t most = 72;

  explicit PairBlock(const ProjectionPair<T>& pair)
      : pair_(pair),
        width_(padded_columns<T, Arch>(pair.small_channels)),
        gradient_width_(projection_gradient_width<T, Arch>(pair)),
        reach_((pair.kernel_h - 1) / pair.stride_h + 1),
        // A product reads whole vectors behind the last pixel, and ignores what it made of them.
        packed_((most * pair.stride_w + pair.kernel_w) * pair.large.channels + slack),
        scratch_((tail_block + 1) * pair.large.channels),
        sums_(pair.out.data ? reach_ * most * width_ : 0) {
    clear(packed_.data() + (most * pair.stride_w + pair.kernel_w) * pair.large.channels, slack);
  }

  void run(std::int64_t sample, std::int64_t begin, std::int64_t end, std::int64_t x,
           std::int64_t count, T* gradient) {
    const auto& p = pair_;
    const Span own = owned(x, x + count, p.small_columns, p.stride_w, p.padding_w, p.large.columns);
    const Span own_rows = owned(begin, end, p.small_rows, p.stride_h, p.padding_h, p.large.rows);
    const std::int64_t left = x * p.stride_w - p.padding_w;
    const std::int64_t read = left + (count - 1) * p.stride_w + p.kernel_w;
    const Span wanted{left, read > own.end ? read : own.end};
    const std::int64_t read_rows = (end - 1) * p.stride_h - p.padding_h + p.kernel_h;
    const std::int64_t last = read_rows > own_rows.end ? read_rows : own_rows.end;
    for (std::int64_t y = begin * p.stride_h - p.padding_h; y < last; ++y) {
      const std::int64_t from_top = y + p.padding_h, newest = from_top / p.stride_h;
      if (p.out.data && from_top % p.stride_h == 0 && newest < end)
        clear(sums(newest), count * width_);
      if (y >= 0 && y < p.large.rows) {
        RowSums<T> into;
        if (y >= own_rows.begin && y < own_rows.end) {
          into = sums_of_row(p.large, sample * p.large.rows + y);
          if (x == 0) clear_sums(p.large, into);
        }
        tail_row(p.large, sample, y, wanted, own, into, packed_.data(), scratch_.data());
        for (std::int64_t q = newest < end ? newest : end - 1;
             q >= begin && from_top - q * p.stride_h < p.kernel_h; --q)
          multiply(sample * p.small_rows + q, q, from_top - q * p.stride_h, x, count, gradient);
      }
      const std::int64_t done = from_top - (p.kernel_h - 1);
      if (p.out.data && done >= 0 && done % p.stride_h == 0 && done / p.stride_h >= begin &&
          done / p.stride_h < end)
        copy_pixels(ImageView<const T>{sums(done / p.stride_h), 0, 1, 0, width_},
                    p.out.from(sample, done / p.stride_h, x), p.small_channels, count);
    }
  }

 private:
  static constexpr std::int64_t slack = 16;

  /// What rows (columns) [begin, end) of the smaller image own of the larger one: each belongs to
  /// one block, though several read it.
  static Span owned(std::int64_t begin, std::int64_t end, std::int64_t small, std::int64_t stride,
                    std::int64_t padding, std::int64_t large) {
    const Span image{0, large};
    return {begin == 0 ? 0 : image.inside(begin * stride - padding),
            end == small ? large : image.inside(end * stride - padding)};
  }

  T* sums(std::int64_t row) const { return sums_.data() + row % reach_ * most * width_; }

  /// The packed row with row `q` of the smaller image, which it meets at tap `ky`.
  void multiply(std::int64_t row, std::int64_t q, std::int64_t ky, std::int64_t x,
                std::int64_t count, T* gradient) {
    const auto& p = pair_;
    const std::int64_t taps = p.kernel_w * p.large.channels;
    if (p.out.data) {
      GemmBlock<T> product;
      product.rows = count, product.columns = p.small_channels, product.depth = taps;
      product.a = packed_.data(), product.a_row = p.stride_w * p.large.channels;
      product.b = p.weights + ky * taps * width_, product.b_depth = width_;
      product.c = sums(q), product.c_row = width_;
      gemm_accumulate<T, Arch>(product);
    }
    if (gradient) {
      GemmBlock<T> product;
      product.rows = p.small_channels, product.columns = taps, product.depth = count;
      product.a = p.small + (row * p.small_columns + x) * p.small_channels;
      product.a_row = 1, product.a_depth = p.small_channels;
      product.b = packed_.data(), product.b_depth = p.stride_w * p.large.channels;
      product.c = gradient + ky * p.small_channels * gradient_width_;
      product.c_row = gradient_width_;
      gemm_accumulate<T, Arch>(product);
    }
  }

  const ProjectionPair<T>& pair_;
  std::int64_t width_, gradient_width_, reach_;
  Scratch<T> packed_, scratch_, sums_;
};

}  // namespace projection_detail

/// Everything that `pair` asks for, in one pass over the larger image.
template <class T, class Arch>
void projection_pair_gradient(const ProjectionPair<T>& pair, const ParallelFor& parallel) {
  using Block = projection_detail::PairBlock<T, Arch>;
  const std::int64_t rows = pair.large.batch * pair.small_rows;
  const std::int64_t size =
      pair.kernel_h * pair.small_channels * projection_gradient_width<T, Arch>(pair);
  parallel(0, pair.parts, [&](std::int64_t first, std::int64_t last) {
    Block block(pair);
    for (std::int64_t part = first; part < last; ++part) {
      T* gradient = pair.gradient ? pair.gradient + part * size : nullptr;
      if (gradient) projection_detail::clear(gradient, size);
      const std::int64_t stop = rows * (part + 1) / pair.parts;
      for (std::int64_t row = rows * part / pair.parts; row < stop;) {
        const std::int64_t sample = row / pair.small_rows, begin = row % pair.small_rows;
        const std::int64_t left = stop - row, most = pair.small_rows - begin;
        const std::int64_t count = left < most ? left : most;
        for (std::int64_t x = 0; x < pair.small_columns; x += Block::most)
          block.run(sample, begin, begin + count, x,
                    x + Block::most < pair.small_columns ? Block::most : pair.small_columns - x,
                    gradient);
        row += count;
      }
    }
  });
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
