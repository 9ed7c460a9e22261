// Convolution with a kernel per sample and its gradients on raw pointers, without torch.
//
// Contiguous planes. For kernels between few channels, where a matrix product has nothing to hold
// on to: an item of work is a block of rows of one sample. All input channels of the block are
// copied with a border of zeros into a scratch; the sums of up to four output channels stay in
// registers over all taps and input channels. The gradient of the kernel is the correlation of each
// pair of planes, see correlation_cpu.hpp. No result depends on the number of threads.
#pragma once

#include <cstdint>

#include "deeplight/core/parallel.hpp"
#include "deeplight/kernels/by_type.hpp"
#include "deeplight/kernels/correlation_cpu.hpp"
#include "deeplight/kernels/correlation_gradient_cpu.hpp"
#include "deeplight/kernels/workspace.hpp"

namespace deeplight::kernels {

struct DynamicGeometry {
  std::int64_t batch = 0, channels = 0, out_channels = 0, height = 0, width = 0;
  std::int64_t kernel_h = 1, kernel_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;  // may be negative: the image is cut

  std::int64_t taps() const { return kernel_h * kernel_w; }
  std::int64_t out_height() const { return height + 2 * pad_h - kernel_h + 1; }
  std::int64_t out_width() const { return width + 2 * pad_w - kernel_w + 1; }
};

/// The kernels of one instruction set.
template <class T>
struct DynamicTable {
  /// out [B, O, OH, OW] of image [B, C, H, W] and kernel [B, O, C, kh, kw]. `turned`: the kernel is
  /// [B, C, O, kh, kw], its taps turned by 180 degrees: the gradient for the image.
  void (*forward)(const DynamicGeometry&, const T* image, const T* kernel, bool turned, T* out,
                  const ParallelFor&);
  /// kernel_grad [B, O, C, kh, kw], overwritten.
  void (*kernel_gradient)(const DynamicGeometry&, const T* image, const T* grad, T* kernel_grad,
                          const ParallelFor&);
};

using DynamicTables = ByType<DynamicTable>;

inline namespace DEEPLIGHT_SIMD_TAG {
namespace dynamic_detail {

inline constexpr std::int64_t block_rows = 16, block_columns = 512;

/// Sums of `outs` output channels over `packs` vectors of one row.
template <class T, class Arch, int outs, int packs>
void tile(const DynamicGeometry& g, const T* DEEPLIGHT_RESTRICT source, std::int64_t pitch,
          std::int64_t plane, const T* DEEPLIGHT_RESTRICT weights, T* target,
          std::int64_t out_plane, std::int64_t lanes) {
  using Pack = simd::Pack<T, Arch>;
  Pack sum[outs][packs];
#pragma GCC unroll 4
  for (int o = 0; o < outs; ++o)
#pragma GCC unroll 8
    for (int p = 0; p < packs; ++p) sum[o][p] = Pack::zero();
  for (std::int64_t c = 0; c < g.channels; ++c)
    for (std::int64_t y = 0; y < g.kernel_h; ++y) {
      const T* row = source + c * plane + y * pitch;
      for (std::int64_t x = 0; x < g.kernel_w; ++x, weights += outs) {
        Pack in[packs];
#pragma GCC unroll 8
        for (int p = 0; p < packs; ++p) in[p] = Pack::load(row + x + p * Pack::width);
#pragma GCC unroll 4
        for (int o = 0; o < outs; ++o) {
          const Pack weight = Pack::all(weights[o]);
#pragma GCC unroll 8
          for (int p = 0; p < packs; ++p) sum[o][p] = fma(weight, in[p], sum[o][p]);
        }
      }
    }
#pragma GCC unroll 4
  for (int o = 0; o < outs; ++o) {
    T* out = target + o * out_plane;
    if (packs == 1 && lanes < Pack::width) {
      T values[Pack::width];
      sum[o][0].store(values);
      std::memcpy(out, values, static_cast<std::size_t>(lanes) * sizeof(T));
    } else {
#pragma GCC unroll 8
      for (int p = 0; p < packs; ++p) sum[o][p].store(out + p * Pack::width);
    }
  }
}

/// One row of `outs` output channels.
template <class T, class Arch, int outs>
void row(const DynamicGeometry& g, const T* source, std::int64_t pitch, std::int64_t plane,
         const T* weights, T* target, std::int64_t out_plane, std::int64_t columns) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  // 16 sums with 32 registers, 8 with 16.
  constexpr int most = (simd::registers<Arch> >= 32 ? 16 : 8) / outs;
  constexpr int packs = most > 4 ? 4 : most;
  std::int64_t x = 0;
  for (; x + packs * width <= columns; x += packs * width)
    tile<T, Arch, outs, packs>(g, source + x, pitch, plane, weights, target + x, out_plane, width);
  for (; x < columns; x += width)
    tile<T, Arch, outs, 1>(g, source + x, pitch, plane, weights, target + x, out_plane,
                           columns - x < width ? columns - x : width);
}

/// Kernels of `outs` output channels from `first` on: [C, taps, outs].
template <class T>
void take_kernel(const DynamicGeometry& g, const T* kernel, bool turned, std::int64_t first,
                 std::int64_t outs, T* weights) {
  const std::int64_t taps = g.taps();
  for (std::int64_t c = 0; c < g.channels; ++c)
    for (std::int64_t t = 0; t < taps; ++t)
      for (std::int64_t o = 0; o < outs; ++o)
        *weights++ = turned ? kernel[(c * g.out_channels + first + o) * taps + taps - 1 - t]
                            : kernel[((first + o) * g.channels + c) * taps + t];
}

template <class T, class Arch>
void forward(const DynamicGeometry& g, const T* image, const T* kernel, bool turned, T* out,
             const ParallelFor& parallel) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  using Row = void (*)(const DynamicGeometry&, const T*, std::int64_t, std::int64_t, const T*, T*,
                       std::int64_t, std::int64_t);
  static constexpr Row any_row[] = {row<T, Arch, 1>, row<T, Arch, 2>, row<T, Arch, 3>,
                                    row<T, Arch, 4>};
  const std::int64_t down = (g.out_height() + block_rows - 1) / block_rows;
  const std::int64_t across = (g.out_width() + block_columns - 1) / block_columns;
  const std::int64_t out_plane = g.out_height() * g.out_width();
  const std::int64_t kernel_size = g.out_channels * g.channels * g.taps();
  parallel(0, g.batch * down * across, [&](std::int64_t begin, std::int64_t end) {
    Workspace<T> block_space, weight_space;
    T* weights = weight_space.of(kernel_size);
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t sample = item / across / down, top = item / across % down * block_rows;
      const std::int64_t left = item % across * block_columns;
      const std::int64_t rows =
          g.out_height() - top < block_rows ? g.out_height() - top : block_rows;
      const std::int64_t columns =
          g.out_width() - left < block_columns ? g.out_width() - left : block_columns;
      const std::int64_t pitch = columns + g.kernel_w - 1 + width;
      const std::int64_t plane = (rows + g.kernel_h - 1) * pitch;
      T* block = block_space.of(g.channels * plane + width);
      for (std::int64_t c = 0; c < g.channels; ++c)
        copy_padded(image + (sample * g.channels + c) * g.height * g.width, g.width, g.height,
                    g.width, top - g.pad_h, left - g.pad_w, rows + g.kernel_h - 1, pitch,
                    block + c * plane, pitch);
      for (std::int64_t o = 0; o < g.out_channels; o += 4) {
        const std::int64_t outs = g.out_channels - o < 4 ? g.out_channels - o : 4;
        take_kernel(g, kernel + sample * kernel_size, turned, o, outs, weights);
        for (std::int64_t r = 0; r < rows; ++r)
          any_row[outs - 1](
              g, block + r * pitch, pitch, plane, weights,
              out + (sample * g.out_channels + o) * out_plane + (top + r) * g.out_width() + left,
              out_plane, columns);
      }
    }
  });
}

template <class T, class Arch>
void kernel_gradient(const DynamicGeometry& g, const T* image, const T* grad, T* kernel_grad,
                     const ParallelFor& parallel) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  // Rows are summed in this many parts, whatever the number of threads.
  constexpr std::int64_t most_parts = 16;
  const std::int64_t out_rows = g.out_height(), out_columns = g.out_width(), taps = g.taps();
  const std::int64_t bands = (out_rows + block_rows - 1) / block_rows;
  const std::int64_t parts = bands < most_parts ? bands : most_parts;
  const std::int64_t kernel_size = g.out_channels * g.channels * taps;
  Workspace<double> sum_space;
  double* sums = sum_space.of(g.batch * parts * kernel_size + 1);
  parallel(0, g.batch * parts, [&](std::int64_t begin, std::int64_t end) {
    Workspace<T> block_space, grad_space;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t sample = item / parts, part = item % parts;
      double* sum = sums + item * kernel_size;
      for (std::int64_t i = 0; i < kernel_size; ++i) sum[i] = 0;
      for (std::int64_t band = bands * part / parts; band < bands * (part + 1) / parts; ++band)
        for (std::int64_t left = 0; left < out_columns; left += block_columns) {
          const std::int64_t top = band * block_rows;
          CorrelationGradient<T> c;
          c.kernel = {g.kernel_h, g.kernel_w, 1, 1};
          c.rows = out_rows - top < block_rows ? out_rows - top : block_rows;
          c.columns = out_columns - left < block_columns ? out_columns - left : block_columns;
          c.source_row = c.columns + g.kernel_w - 1 + width;
          c.grad_row = c.columns + width;
          const std::int64_t rows = c.rows + g.kernel_h - 1, plane = rows * c.source_row;
          T* block = block_space.of(g.channels * plane + width);
          T* own = grad_space.of(c.rows * c.grad_row);
          for (std::int64_t i = 0; i < g.channels; ++i)
            copy_padded(image + (sample * g.channels + i) * g.height * g.width, g.width, g.height,
                        g.width, top - g.pad_h, left - g.pad_w, rows, c.source_row,
                        block + i * plane, c.source_row);
          for (std::int64_t o = 0; o < g.out_channels; ++o) {
            copy_padded(grad + (sample * g.out_channels + o) * out_rows * out_columns, out_columns,
                        top + c.rows, left + c.columns, top, left, c.rows, c.grad_row, own,
                        c.grad_row);
            c.grad = own;
            for (std::int64_t i = 0; i < g.channels; ++i) {
              c.source = block + i * plane;
              c.sum = sum + (o * g.channels + i) * taps;
              correlate_gradient<T, Arch, false>(c);
            }
          }
        }
    }
  });
  for (std::int64_t b = 0; b < g.batch; ++b)
    for (std::int64_t i = 0; i < kernel_size; ++i) {
      double sum = 0;
      for (std::int64_t part = 0; part < parts; ++part)
        sum += sums[(b * parts + part) * kernel_size + i];
      kernel_grad[b * kernel_size + i] = static_cast<T>(sum);
    }
}

}  // namespace dynamic_detail

template <class Arch>
constexpr DynamicTables dynamic_table() {
  using namespace dynamic_detail;
  return {{&forward<float, Arch>, &kernel_gradient<float, Arch>},
          {&forward<double, Arch>, &kernel_gradient<double, Arch>}};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
