// Strided and transposed convolution of few channels with large kernels, without torch.
//
// Both directions are the same loop. An output axis falls into phases: one for a convolution, as
// many as the stride for a transposed one. Within a phase every output pixel sees the same taps of
// consecutive input pixels, so that a row of a phase is a matrix product of input rows, as they lie
// in memory (channels last, zero-padded), with the taps' weights. Nothing is unfolded.
//
//   convolution    [B, I, H, W] -> [B, O, (H + 2p - k)/s + 1, ...], weight [O, I, k, k]
//   transposed     [B, I, H, W] -> [B, O, (H - 1)s - 2p + k, ...],  weight [I, O, k, k]
//
// Units of this shape: Haris et al. 2018 (arXiv 1803.02735), k 6/8/12/20, s 2/4/8/16. With k = s it
// is also a 1x1 convolution followed by PixelShuffle (Shi et al. 2016, arXiv 1609.05158).
#pragma once

#include <cstdint>

#include "deeplight/core/parallel.hpp"
#include "deeplight/kernels/by_type.hpp"
#include "deeplight/kernels/convolution_axis.hpp"
#include "deeplight/kernels/gemm_cpu.hpp"
#include "deeplight/kernels/image_view.hpp"
#include "deeplight/kernels/projection_conv_gradient_cpu.hpp"

namespace deeplight::kernels {

struct ProjectionGeometry {
  std::int64_t batch = 0, in_channels = 0, out_channels = 0;
  ConvolutionAxis rows, columns;
};

/// What happens to a sum before it is stored: out = PReLU(sum + bias) + alpha * residual.
template <class T>
struct ProjectionEpilogue {
  const T* bias = nullptr;  ///< [O], or [phase y][phase x][O] with bias_phase = O, or null
  std::int64_t bias_phase = 0;
  const T* slope = nullptr;  ///< [O] or null: no activation
  ImageView<const T> residual{};
  T alpha = T(1);
  ImageView<T> sums{};  ///< takes sum + bias, for the backward pass; data may be null
};

/// The kernels of one instruction set.
template <class T>
struct ProjectionTable {
  std::int64_t (*weights_size)(const ProjectionGeometry&);
  void (*pack)(const ProjectionGeometry&, const T* weight, std::int64_t input_step,
               std::int64_t output_step, T* packed);
  void (*forward)(const ProjectionGeometry&, const ImageView<const T>&, const T* weights,
                  const ProjectionEpilogue<T>&, const ImageView<T>&, const ParallelFor&);
  void (*tail_gradient)(const ProjectionTailGradient<T>&, T* out, const ParallelFor&);
  std::int64_t (*gradient_width)(const ProjectionPair<T>&);
  void (*pair_gradient)(const ProjectionPair<T>&, const ParallelFor&);
};

using ProjectionTables = ByType<ProjectionTable>;

inline namespace DEEPLIGHT_SIMD_TAG {

/// Output channels, rounded up to whole vectors: the width of a row of packed weights.
template <class T, class Arch>
std::int64_t projection_width(const ProjectionGeometry& g) {
  return padded_columns<T, Arch>(g.out_channels);
}

/// Numbers that `pack_projection_weights` writes.
template <class T, class Arch>
std::int64_t projection_weights_size(const ProjectionGeometry& g) {
  return g.rows.kernel * g.columns.kernel * g.in_channels * projection_width<T, Arch>(g);
}

/// Weights of every phase as the matrices that the products read:
/// [phase y][phase x][taps y][taps x][I][projection_width].
/// @param weight  element (i, o, ky, kx) at i * input_step + o * output_step + ky * kernel + kx
template <class T, class Arch>
void pack_projection_weights(const ProjectionGeometry& g, const T* weight, std::int64_t input_step,
                             std::int64_t output_step, T* packed) {
  const std::int64_t width = projection_width<T, Arch>(g);
  for (std::int64_t y = 0; y < g.rows.phases(); ++y) {
    for (std::int64_t x = 0; x < g.columns.phases(); ++x) {
      const auto py = g.rows.phase(y), px = g.columns.phase(x);
      for (std::int64_t ty = 0; ty < py.taps; ++ty) {
        for (std::int64_t tx = 0; tx < px.taps; ++tx) {
          const T* tap = weight + (py.first_tap + ty * py.tap_step) * g.columns.kernel +
                         px.first_tap + tx * px.tap_step;
          for (std::int64_t i = 0; i < g.in_channels; ++i, packed += width) {
            for (std::int64_t o = 0; o < g.out_channels; ++o)
              packed[o] = tap[i * input_step + o * output_step];
            for (std::int64_t o = g.out_channels; o < width; ++o) packed[o] = T(0);
          }
        }
      }
    }
  }
}

namespace projection_detail {

/// Sums of output pixels and what becomes of them: bias before, activation and residual after.
template <class T, class Arch>
class Sums {
 public:
  Sums(const ProjectionGeometry& g, const ProjectionEpilogue<T>& epilogue, const ImageView<T>& out,
       std::int64_t pixels)
      : width_(projection_width<T, Arch>(g)),
        g_(g),
        epilogue_(epilogue),
        out_(out),
        step_(g.columns.phases()),
        streamed_(!epilogue.residual.data &&
                  g.batch * g.out_channels * g.rows.out * g.columns.out * std::int64_t{sizeof(T)} >=
                      streamed_bytes),
        sums_(pixels * width_),
        bias_(g.rows.phases() * step_ * width_) {
    for (std::int64_t phase = 0; phase < g.rows.phases() * step_; ++phase) {
      const T* bias = epilogue.bias ? epilogue.bias + phase * epilogue.bias_phase : nullptr;
      for (std::int64_t c = 0; c < width_; ++c)
        bias_.data()[phase * width_ + c] = bias && c < g.out_channels ? bias[c] : T(0);
    }
  }

  T* of(std::int64_t pixel) const { return sums_.data() + pixel * width_; }

  /// Bias in `count` pixels of every column phase, from `pixel` on.
  void start(std::int64_t pixel, std::int64_t count, std::int64_t row_phase) {
    const std::int64_t size = step_ * width_;
    const T* DEEPLIGHT_RESTRICT bias = bias_.data() + row_phase * size;
    T* DEEPLIGHT_RESTRICT sums = of(pixel);
    for (std::int64_t i = 0; i < count; ++i, sums += size)
      for (std::int64_t c = 0; c < size; ++c) sums[c] = bias[c];
  }

  /// Sums from `pixel` on become results (sample, y, x) and those that follow in the row.
  void write(std::int64_t pixel, std::int64_t sample, std::int64_t y, std::int64_t x,
             std::int64_t count) {
    const std::int64_t channels = g_.out_channels;
    T* sums = of(pixel);
    const ImageView<T> out = out_.from(sample, y, x);
    const auto store = [&](const ImageView<T>& image) {
      copy_pixels(ImageView<const T>{sums, 0, 1, 0, width_}, image, channels, count, streamed_);
    };
    if (epilogue_.sums.data) store(epilogue_.sums.from(sample, y, x));
    if (epilogue_.slope && out.channel == 1 && !streamed_) {
      for (std::int64_t i = 0; i < count; ++i)
        rectify(sums + i * width_, epilogue_.slope, out.data + i * out.column, channels);
    } else {
      if (epilogue_.slope)
        for (std::int64_t i = 0; i < count; ++i)
          rectify(sums + i * width_, epilogue_.slope, sums + i * width_, channels);
      store(out);
    }
    if (epilogue_.residual.data)
      add_pixels(epilogue_.residual.from(sample, y, x), epilogue_.alpha, out, channels, count);
  }

 private:
  /// `to` may be `sums`.
  static void rectify(const T* sums, const T* DEEPLIGHT_RESTRICT slope, T* to,
                      std::int64_t channels) {
    for (std::int64_t c = 0; c < channels; ++c) to[c] = sums[c] > 0 ? sums[c] : sums[c] * slope[c];
  }

  std::int64_t width_;
  const ProjectionGeometry& g_;
  const ProjectionEpilogue<T>& epilogue_;
  const ImageView<T>& out_;
  std::int64_t step_;
  bool streamed_;
  Scratch<T> sums_, bias_;
};

/// An output row of a transposed convolution, by blocks that stay in the cache.
/// @param packed  the first packed input row that this output row reads
/// @param phase_weights  packed weights of this row's phase
template <class T, class Arch>
void transposed_row(const ProjectionGeometry& g, Sums<T, Arch>& sums, std::int64_t block,
                    std::int64_t sample, std::int64_t y, const ConvolutionAxis::Phase& rows,
                    const T* phase_weights, const T* packed, std::int64_t packed_row) {
  const std::int64_t width = projection_width<T, Arch>(g), step = g.columns.phases();
  const std::int64_t pixels = (g.columns.out + step - 1) / step;
  for (std::int64_t first = 0; first < pixels; first += block) {
    const std::int64_t last = first + block < pixels ? first + block : pixels;
    sums.start(0, last - first, rows.first_output);
    const T* weights = phase_weights;
    for (std::int64_t index = 0; index < step; ++index) {
      const auto columns = g.columns.phase(index);
      GemmBlock<T> product;
      product.rows = (last < columns.count ? last : columns.count) - first;
      product.columns = g.out_channels;
      product.depth = columns.taps * g.in_channels;
      product.a = packed + (first + columns.start + g.columns.before()) * g.in_channels;
      product.a_row = g.in_channels;
      product.b = weights;
      product.b_depth = width;
      product.c = sums.of(index);
      product.c_row = step * width;
      for (std::int64_t tap = 0; tap < rows.taps; ++tap) {
        gemm_accumulate<T, Arch>(product);
        product.a += packed_row;
        product.b += product.depth * width;
      }
      weights += rows.taps * product.depth * width;
    }
    const std::int64_t begin = first * step, end = last * step;
    sums.write(0, sample, y, begin, (end < g.columns.out ? end : g.columns.out) - begin);
  }
}

template <class T, class Arch>
void transposed_forward(const ProjectionGeometry& g, const ImageView<const T>& image,
                        const T* weights, const ProjectionEpilogue<T>& epilogue,
                        const ImageView<T>& out, const ParallelFor& parallel) {
  // A multiple of every register block of the product.
  constexpr std::int64_t block = 24;
  // Enough rows that packing them is little work beside the product, few enough for the cache.
  constexpr std::int64_t band = 4;
  const std::int64_t padded_width = g.columns.before() + g.columns.in + g.columns.after();
  const std::int64_t step = g.rows.stride, low = -g.rows.before();
  const std::int64_t bands = ((g.rows.out + step - 1) / step + band - 1) / band;
  const std::int64_t packed_rows = band - 1 + g.rows.reach() - low;
  const std::int64_t packed_row = padded_width * g.in_channels;
  parallel(0, g.batch * bands, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<T> packed(packed_rows * packed_row);
    Sums<T, Arch> sums(g, epilogue, out, block * g.columns.stride);
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t sample = item / bands, first = item % bands * band, top = first + low;
      pack_rows(image, sample, g.in_channels, g.rows, g.columns, top, packed_rows, 0, padded_width,
                packed.data());
      for (std::int64_t q = first; q < first + band; ++q) {
        const T* phase_weights = weights;
        for (std::int64_t index = 0; index < step; ++index) {
          const auto phase = g.rows.phase(index);
          if (q < phase.count)
            transposed_row(g, sums, block, sample, phase.first_output + q * step, phase,
                           phase_weights, packed.data() + (q + phase.start - top) * packed_row,
                           packed_row);
          phase_weights +=
              phase.taps * g.columns.kernel * g.in_channels * projection_width<T, Arch>(g);
        }
      }
    }
    streamed_lines_written();
  });
}

/// A strided convolution takes input rows one after the other: each is packed once for a band of
/// output rows, stays in the cache, and meets the taps of all that read it. So do the weights.
template <class T, class Arch>
void strided_forward(const ProjectionGeometry& g, const ImageView<const T>& image, const T* weights,
                     const ProjectionEpilogue<T>& epilogue, const ImageView<T>& out,
                     const ParallelFor& parallel) {
  constexpr std::int64_t band = 4, block = 72;
  const std::int64_t bands = (g.rows.out + band - 1) / band;
  const std::int64_t width = projection_width<T, Arch>(g), stride = g.columns.stride;
  const std::int64_t packed_width = (block - 1) * stride + g.columns.kernel;
  parallel(0, g.batch * bands, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<T> packed(packed_width * g.in_channels);
    Sums<T, Arch> sums(g, epilogue, out, band * block);
    GemmBlock<T> product;
    product.columns = g.out_channels;
    product.depth = g.columns.kernel * g.in_channels;
    product.a = packed.data();
    product.a_row = stride * g.in_channels;
    product.b_depth = product.c_row = width;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t sample = item / bands, top = item % bands * band;
      const std::int64_t bottom = top + band < g.rows.out ? top + band : g.rows.out;
      for (std::int64_t x = 0; x < g.columns.out; x += block) {
        product.rows = x + block < g.columns.out ? block : g.columns.out - x;
        sums.start(0, (bottom - top) * block, 0);
        const std::int64_t last = (bottom - 1) * g.rows.stride - g.rows.padding + g.rows.kernel;
        for (std::int64_t row = top * g.rows.stride - g.rows.padding; row < last; ++row) {
          if (row < 0 || row >= g.rows.in) continue;
          pack_rows(image, sample, g.in_channels, g.rows, g.columns, row, 1, x * stride,
                    x * stride + (product.rows - 1) * stride + g.columns.kernel, packed.data());
          for (std::int64_t q = top; q < bottom; ++q) {
            const std::int64_t tap = row + g.rows.padding - q * g.rows.stride;
            if (tap < 0 || tap >= g.rows.kernel) continue;
            product.b = weights + tap * product.depth * width;
            product.c = sums.of((q - top) * block);
            gemm_accumulate<T, Arch>(product);
          }
        }
        for (std::int64_t q = top; q < bottom; ++q)
          sums.write((q - top) * block, sample, q, x, product.rows);
      }
    }
    streamed_lines_written();
  });
}

}  // namespace projection_detail

/// out = epilogue(convolution of image by weights).
/// @param weights   as `pack_projection_weights` made them
template <class T, class Arch>
void projection_forward(const ProjectionGeometry& g, const ImageView<const T>& image,
                        const T* weights, const ProjectionEpilogue<T>& epilogue,
                        const ImageView<T>& out, const ParallelFor& parallel) {
  const auto forward = g.rows.transposed ? &projection_detail::transposed_forward<T, Arch>
                                         : &projection_detail::strided_forward<T, Arch>;
  forward(g, image, weights, epilogue, out, parallel);
}

namespace projection_detail {

template <class T, class Arch>
constexpr ProjectionTable<T> table() {
  return {&projection_weights_size<T, Arch>,   &pack_projection_weights<T, Arch>,
          &projection_forward<T, Arch>,        &projection_tail_gradient<T>,
          &projection_gradient_width<T, Arch>, &projection_pair_gradient<T, Arch>};
}

}  // namespace projection_detail

template <class Arch>
constexpr ProjectionTables projection_table() {
  return {projection_detail::table<float, Arch>(), projection_detail::table<double, Arch>()};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
