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

/// The two images between which a weight gradient sums: `small` is a convolution's output or a
/// transposed one's input, `large` the other. Both channels last; `large` starts `padding` pixels
/// before the image and holds all that is read, its channels padded to `padded_columns`.
template <class T>
struct ProjectionPair {
  std::int64_t batch = 0;
  std::int64_t small_channels = 0, small_rows = 0, small_columns = 0;
  std::int64_t large_channels = 0, large_rows = 0, large_columns = 0;
  std::int64_t kernel_h = 0, kernel_w = 0, stride_h = 1, stride_w = 1;
  const T* small = nullptr;  ///< [B][small_rows][small_columns][small_channels]
  const T* large = nullptr;  ///< [B][large_rows][large_columns][padded channels]
};

/// The kernels of one instruction set.
template <class T>
struct ProjectionTable {
  std::int64_t (*width)(std::int64_t channels);
  std::int64_t (*weights_size)(const ProjectionGeometry&);
  void (*pack)(const ProjectionGeometry&, const T* weight, std::int64_t input_step,
               std::int64_t output_step, T* packed);
  void (*forward)(const ProjectionGeometry&, const ImageView<const T>&, const T* weights,
                  const ProjectionEpilogue<T>&, const ImageView<T>&, const ParallelFor&);
  void (*weight_gradient)(const ProjectionPair<T>&, T* gradient, const ParallelFor&);
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

/// Output pixels of one row that are computed, activated and written while they are in the cache.
template <class T, class Arch>
class Row {
 public:
  // A multiple of every register block of the product.
  static constexpr std::int64_t block_pixels = 24;

  Row(const ProjectionGeometry& g, const ProjectionEpilogue<T>& epilogue, const ImageView<T>& out,
      std::int64_t padded_width)
      : g_(g),
        epilogue_(epilogue),
        out_(out),
        padded_width_(padded_width),
        width_(projection_width<T, Arch>(g)),
        step_(g.columns.phases()),
        sums_(block_pixels * step_ * width_) {}

  /// @param packed  the first packed input row that this output row reads
  /// @param phase_weights  packed weights of this row's phase
  void compute(std::int64_t sample, std::int64_t y, const ConvolutionAxis::Phase& rows,
               const T* phase_weights, const T* packed) {
    const std::int64_t pixels = (g_.columns.out + step_ - 1) / step_;
    for (std::int64_t first = 0; first < pixels; first += block_pixels) {
      const std::int64_t last = first + block_pixels < pixels ? first + block_pixels : pixels;
      set_bias((last - first) * step_, rows.first_output);
      const T* weights = phase_weights;
      for (std::int64_t index = 0; index < step_; ++index) {
        const auto columns = g_.columns.phase(index);
        GemmBlock<T> product;
        product.rows = (last < columns.count ? last : columns.count) - first;
        product.columns = g_.out_channels;
        product.depth = columns.taps * g_.in_channels;
        product.a = packed + (first * columns.input_step + columns.start + g_.columns.before()) *
                                 g_.in_channels;
        product.a_row = columns.input_step * g_.in_channels;
        product.b = weights;
        product.b_depth = width_;
        product.c = sums_.data() + index * width_;
        product.c_row = step_ * width_;
        for (std::int64_t tap = 0; tap < rows.taps; ++tap) {
          gemm_accumulate<T, Arch>(product);
          product.a += padded_width_ * g_.in_channels;
          product.b += product.depth * width_;
        }
        weights += rows.taps * product.depth * width_;
      }
      const std::int64_t begin = first * step_, end = last * step_;
      write(sample, y, begin, (end < g_.columns.out ? end : g_.columns.out) - begin);
    }
  }

 private:
  void set_bias(std::int64_t pixels, std::int64_t row_phase) {
    for (std::int64_t i = 0; i < pixels; ++i) {
      T* pixel = sums_.data() + i * width_;
      const T* bias = epilogue_.bias;
      if (bias) bias += (row_phase * step_ + i % step_) * epilogue_.bias_phase;
      for (std::int64_t c = 0; c < width_; ++c)
        pixel[c] = bias && c < g_.out_channels ? bias[c] : T(0);
    }
  }

  void write(std::int64_t sample, std::int64_t y, std::int64_t x, std::int64_t count) {
    const std::int64_t channels = g_.out_channels;
    const T* sums = sums_.data();
    const auto store = [&](const ImageView<T>& image) {
      copy_pixels(ImageView<const T>{sums, 0, 1, 0, width_}, image.from(sample, y, x), channels,
                  count);
    };
    if (epilogue_.sums.data) store(epilogue_.sums);
    if (epilogue_.slope) {
      for (std::int64_t i = 0; i < count; ++i) {
        T* pixel = sums_.data() + i * width_;
        for (std::int64_t c = 0; c < channels; ++c)
          pixel[c] = pixel[c] > 0 ? pixel[c] : pixel[c] * epilogue_.slope[c];
      }
    }
    store(out_);
    if (epilogue_.residual.data)
      add_pixels(epilogue_.residual.from(sample, y, x), epilogue_.alpha, out_.from(sample, y, x),
                 channels, count);
  }

  const ProjectionGeometry& g_;
  const ProjectionEpilogue<T>& epilogue_;
  const ImageView<T>& out_;
  std::int64_t padded_width_, width_, step_;
  Scratch<T> sums_;
};

}  // namespace projection_detail

/// out = epilogue(convolution of image by weights).
/// @param weights   as `pack_projection_weights` made them
template <class T, class Arch>
void projection_forward(const ProjectionGeometry& g, const ImageView<const T>& image,
                        const T* weights, const ProjectionEpilogue<T>& epilogue,
                        const ImageView<T>& out, const ParallelFor& parallel) {
  const std::int64_t padded_width = g.columns.before() + g.columns.in + g.columns.after();
  const std::int64_t step = g.rows.phases(), low = -g.rows.before();
  const std::int64_t input_step = g.rows.phase(0).input_step;
  // Enough rows that packing them is little work beside the product, few enough for the cache.
  const std::int64_t band = input_step < 4 ? 4 : 2;
  const std::int64_t bands = ((g.rows.out + step - 1) / step + band - 1) / band;
  const std::int64_t packed_rows = (band - 1) * input_step + g.rows.reach() - low;
  const std::int64_t packed_row = padded_width * g.in_channels;
  parallel(0, g.batch * bands, [&](std::int64_t begin, std::int64_t end) {
    Scratch<T> packed(packed_rows * packed_row);
    projection_detail::Row<T, Arch> row(g, epilogue, out, padded_width);
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t sample = item / bands, first = item % bands * band;
      const std::int64_t top = first * input_step + low;
      pack_rows(image, sample, g.in_channels, g.rows, g.columns, top, packed_rows, padded_width,
                packed.data());
      for (std::int64_t q = first; q < first + band; ++q) {
        const T* phase_weights = weights;
        for (std::int64_t index = 0; index < step; ++index) {
          const auto phase = g.rows.phase(index);
          if (q < phase.count)
            row.compute(sample, phase.first_output + q * phase.output_step, phase, phase_weights,
                        packed.data() + (q * input_step + phase.start - top) * packed_row);
          phase_weights +=
              phase.taps * g.columns.kernel * g.in_channels * projection_width<T, Arch>(g);
        }
      }
    }
  });
}

/// Gradient of the weights: [ky][kx][small channels][padded large channels], overwritten.
/// One item is one tap, so that no result depends on the number of threads.
template <class T, class Arch>
void projection_weight_gradient(const ProjectionPair<T>& pair, T* gradient,
                                const ParallelFor& parallel) {
  const std::int64_t width = padded_columns<T, Arch>(pair.large_channels);
  parallel(0, pair.kernel_h * pair.kernel_w, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t tap = begin; tap < end; ++tap) {
      GemmBlock<T> product;
      product.rows = pair.small_channels;
      product.columns = pair.large_channels;
      product.depth = pair.small_columns;
      product.a_row = 1;
      product.a_depth = pair.small_channels;
      product.b_depth = pair.stride_w * width;
      product.c = gradient + tap * pair.small_channels * width;
      product.c_row = width;
      for (std::int64_t i = 0; i < pair.small_channels * width; ++i) product.c[i] = T(0);
      const T* corner =
          pair.large + (tap / pair.kernel_w * pair.large_columns + tap % pair.kernel_w) * width;
      for (std::int64_t b = 0; b < pair.batch; ++b) {
        for (std::int64_t y = 0; y < pair.small_rows; ++y) {
          product.a = pair.small + (b * pair.small_rows + y) * pair.small_columns * product.rows;
          product.b =
              corner + (b * pair.large_rows + y * pair.stride_h) * pair.large_columns * width;
          gemm_accumulate<T, Arch>(product);
        }
      }
    }
  });
}

namespace projection_detail {

template <class T, class Arch>
constexpr ProjectionTable<T> table() {
  return {&padded_columns<T, Arch>, &projection_weights_size<T, Arch>,
          &pack_projection_weights<T, Arch>, &projection_forward<T, Arch>,
          &projection_weight_gradient<T, Arch>};
}

}  // namespace projection_detail

template <class Arch>
constexpr ProjectionTables projection_table() {
  return {projection_detail::table<float, Arch>(), projection_detail::table<double, Arch>()};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
