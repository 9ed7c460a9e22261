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
  void (*tail_gradient)(const ProjectionTailGradient<T>&, const ParallelFor&);
  std::int64_t (*gradient_width)(const ProjectionPair<T>&);
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

/// Where an output row finds its input: in the image itself, whose pixels then lie channels last,
/// or in rows that were packed with a border of zeros.
template <class T>
struct RowSource {
  const T* image = nullptr;  ///< the first input row, or null where a row does not exist
  std::int64_t image_row = 0;
  const T* packed = nullptr;  ///< the first packed row
  std::int64_t packed_row = 0;
};

/// Which blocks of an output row read beyond the left and right end of the image.
struct RowBlocks {
  std::int64_t pixels = 0;      ///< of every phase
  std::int64_t first_size = 0;  ///< of the first block
  std::int64_t block = 0;       ///< size of the others
  std::int64_t step = 1, before = 0, reach = 0, in = 0;

  DEEPLIGHT_ALWAYS_INLINE bool inside(std::int64_t first, std::int64_t last) const {
    return first * step >= before && (last - 1) * step + reach <= in;
  }
  DEEPLIGHT_ALWAYS_INLINE std::int64_t end(std::int64_t first) const {
    const std::int64_t last = first + (first == 0 ? first_size : block);
    return last < pixels ? last : pixels;
  }
};

inline RowBlocks row_blocks(const ConvolutionAxis& columns, std::int64_t block) {
  const std::int64_t phases = columns.phases(), before = columns.before();
  // A small first block keeps what the border has to be packed for small.
  return {(columns.out + phases - 1) / phases,
          before > 0 ? block / 2 : block,
          block,
          columns.phase(0).input_step,
          before,
          columns.reach(),
          columns.in};
}

/// Output pixels of one row that are computed, activated and written while they are in the cache.
template <class T, class Arch>
class Row {
 public:
  // A multiple of every register block of the product.
  static constexpr std::int64_t block_pixels = 24;

  Row(const ProjectionGeometry& g, const ProjectionEpilogue<T>& epilogue, const ImageView<T>& out)
      : g_(g),
        epilogue_(epilogue),
        out_(out),
        blocks_(row_blocks(g.columns, block_pixels)),
        width_(projection_width<T, Arch>(g)),
        step_(g.columns.phases()),
        sums_(block_pixels * step_ * width_),
        bias_(g.rows.phases() * step_ * width_) {
    for (std::int64_t phase = 0; phase < g.rows.phases() * step_; ++phase) {
      const T* bias = epilogue.bias ? epilogue.bias + phase * epilogue.bias_phase : nullptr;
      for (std::int64_t c = 0; c < width_; ++c)
        bias_.data()[phase * width_ + c] = bias && c < g.out_channels ? bias[c] : T(0);
    }
  }

  /// @param phase_weights  packed weights of this row's phase
  void compute(std::int64_t sample, std::int64_t y, const ConvolutionAxis::Phase& rows,
               const T* phase_weights, const RowSource<T>& source) {
    for (std::int64_t first = 0, last = 0; first < blocks_.pixels; first = last) {
      last = blocks_.end(first);
      set_bias(last - first, rows.first_output);
      const bool direct = source.image && blocks_.inside(first, last);
      const std::int64_t source_row = direct ? source.image_row : source.packed_row;
      const T* weights = phase_weights;
      for (std::int64_t index = 0; index < step_; ++index) {
        const auto columns = g_.columns.phase(index);
        const std::int64_t start = first * columns.input_step + columns.start;
        GemmBlock<T> product;
        product.rows = (last < columns.count ? last : columns.count) - first;
        product.columns = g_.out_channels;
        product.depth = columns.taps * g_.in_channels;
        product.a = direct ? source.image + start * g_.in_channels
                           : source.packed + (start + blocks_.before) * g_.in_channels;
        product.a_row = columns.input_step * g_.in_channels;
        product.b = weights;
        product.b_depth = width_;
        product.c = sums_.data() + index * width_;
        product.c_row = step_ * width_;
        const std::int64_t next_block = product.rows * product.a_row - (rows.taps - 1) * source_row;
        for (std::int64_t tap = 0; tap < rows.taps; ++tap) {
          // Between its few products a row of a large image has left the cache, or not come yet.
          if (direct && columns.input_step > 1)
            prefetch(product.a + (tap + 1 < rows.taps ? source_row : next_block),
                     product.rows * product.a_row);
          gemm_accumulate<T, Arch>(product);
          product.a += source_row;
          product.b += product.depth * width_;
        }
        weights += rows.taps * product.depth * width_;
      }
      const std::int64_t begin = first * step_, end = last * step_;
      write(sample, y, begin, (end < g_.columns.out ? end : g_.columns.out) - begin);
    }
  }

 private:
  static void prefetch(const T* data, std::int64_t count) {
    for (std::int64_t i = 0; i < count; i += 64 / std::int64_t{sizeof(T)})
      DEEPLIGHT_PREFETCH(data + i);
  }

  void set_bias(std::int64_t pixels, std::int64_t row_phase) {
    const std::int64_t size = step_ * width_;
    const T* DEEPLIGHT_RESTRICT bias = bias_.data() + row_phase * size;
    T* DEEPLIGHT_RESTRICT sums = sums_.data();
    for (std::int64_t i = 0; i < pixels; ++i, sums += size)
      for (std::int64_t c = 0; c < size; ++c) sums[c] = bias[c];
  }

  static void rectify(const T* DEEPLIGHT_RESTRICT sums, const T* DEEPLIGHT_RESTRICT slope,
                      T* DEEPLIGHT_RESTRICT to, std::int64_t channels) {
    for (std::int64_t c = 0; c < channels; ++c) to[c] = sums[c] > 0 ? sums[c] : sums[c] * slope[c];
  }

  void write(std::int64_t sample, std::int64_t y, std::int64_t x, std::int64_t count) {
    const std::int64_t channels = g_.out_channels;
    T* sums = sums_.data();
    const ImageView<T> out = out_.from(sample, y, x);
    const auto store = [&](const ImageView<T>& image) {
      copy_pixels(ImageView<const T>{sums, 0, 1, 0, width_}, image, channels, count);
    };
    if (epilogue_.sums.data) store(epilogue_.sums.from(sample, y, x));
    if (epilogue_.slope && out.channel == 1) {
      for (std::int64_t i = 0; i < count; ++i)
        rectify(sums + i * width_, epilogue_.slope, out.data + i * out.column, channels);
    } else {
      if (epilogue_.slope)
        for (std::int64_t i = 0; i < count * width_; i += width_)
          for (std::int64_t c = 0; c < channels; ++c)
            sums[i + c] = sums[i + c] > 0 ? sums[i + c] : sums[i + c] * epilogue_.slope[c];
      store(out);
    }
    if (epilogue_.residual.data)
      add_pixels(epilogue_.residual.from(sample, y, x), epilogue_.alpha, out, channels, count);
  }

  const ProjectionGeometry& g_;
  const ProjectionEpilogue<T>& epilogue_;
  const ImageView<T>& out_;
  RowBlocks blocks_;
  std::int64_t width_, step_;
  Scratch<T> sums_, bias_;
};

/// Packs the input rows of a band of output rows: all of it, or what lies about the borders where
/// the blocks between them read the image itself.
template <class T>
void pack_band(const ProjectionGeometry& g, const ImageView<const T>& image, std::int64_t sample,
               std::int64_t top, std::int64_t count, std::int64_t padded_width,
               const RowBlocks& blocks, bool direct, T* packed) {
  const auto pack = [&](std::int64_t begin, std::int64_t end) {
    pack_rows(image, sample, g.in_channels, g.rows, g.columns, top, count, padded_width, begin, end,
              packed);
  };
  if (!direct || top < 0 || top + count > g.rows.in) return pack(0, padded_width);
  for (std::int64_t first = 0, last = 0; first < blocks.pixels; first = last) {
    last = blocks.end(first);
    const std::int64_t end = (last - 1) * blocks.step + blocks.reach + blocks.before;
    if (!blocks.inside(first, last))
      pack(first * blocks.step, end < padded_width ? end : padded_width);
  }
}

}  // namespace projection_detail

/// out = epilogue(convolution of image by weights).
/// @param weights   as `pack_projection_weights` made them
template <class T, class Arch>
void projection_forward(const ProjectionGeometry& g, const ImageView<const T>& image,
                        const T* weights, const ProjectionEpilogue<T>& epilogue,
                        const ImageView<T>& out, const ParallelFor& parallel) {
  using namespace projection_detail;
  const std::int64_t padded_width = g.columns.before() + g.columns.in + g.columns.after();
  const std::int64_t step = g.rows.phases(), low = -g.rows.before();
  const std::int64_t input_step = g.rows.phase(0).input_step;
  // Enough rows that packing them is little work beside the product, few enough for the cache.
  const std::int64_t band = input_step < 4 ? 4 : 2;
  const std::int64_t bands = ((g.rows.out + step - 1) / step + band - 1) / band;
  const std::int64_t packed_rows = (band - 1) * input_step + g.rows.reach() - low;
  const std::int64_t packed_row = padded_width * g.in_channels;
  const bool direct = image.channel == 1 && image.column == g.in_channels;
  const RowBlocks blocks = row_blocks(g.columns, Row<T, Arch>::block_pixels);
  parallel(0, g.batch * bands, [&](std::int64_t begin, std::int64_t end) {
    Scratch<T> packed(packed_rows * packed_row);
    Row<T, Arch> row(g, epilogue, out);
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t sample = item / bands, first = item % bands * band;
      const std::int64_t top = first * input_step + low;
      pack_band(g, image, sample, top, packed_rows, padded_width, blocks, direct, packed.data());
      for (std::int64_t q = first; q < first + band; ++q) {
        const T* phase_weights = weights;
        for (std::int64_t index = 0; index < step; ++index) {
          const auto phase = g.rows.phase(index);
          const std::int64_t start = q * input_step + phase.start;
          const bool exists = direct && start >= 0 && start + phase.taps <= g.rows.in;
          if (q < phase.count)
            row.compute(sample, phase.first_output + q * phase.output_step, phase, phase_weights,
                        {exists ? image.from(sample, start, 0).data : nullptr, image.row,
                         packed.data() + (start - top) * packed_row, packed_row});
          phase_weights +=
              phase.taps * g.columns.kernel * g.in_channels * projection_width<T, Arch>(g);
        }
      }
    }
  });
}

namespace projection_detail {

template <class T, class Arch>
constexpr ProjectionTable<T> table() {
  return {&projection_weights_size<T, Arch>,   &pack_projection_weights<T, Arch>,
          &projection_forward<T, Arch>,        &projection_tail_gradient<T>,
          &projection_gradient_width<T, Arch>, &projection_weight_gradient<T, Arch>};
}

}  // namespace projection_detail

template <class Arch>
constexpr ProjectionTables projection_table() {
  return {projection_detail::table<float, Arch>(), projection_detail::table<double, Arch>()};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
