// Depthwise convolution and its gradient of the weights on raw pointers, without torch.
//
// Images [B, C, H, W] of either layout: planes (lanes run along a row) or channels-last (lanes are
// the channels of a pixel). An item of work is a block of one channel, or of one vector of
// channels: its part of the image is copied with a border of zeros into a scratch of about a
// quarter of a core's L2 cache and correlated there. See correlation_cpu.hpp for the inner loops.
// No result depends on the number of threads: sums that cross blocks are cut the same way always.
#pragma once

#include <cstdint>

#include "deeplight/core/parallel.hpp"
#include "deeplight/kernels/by_type.hpp"
#include "deeplight/kernels/correlation_cpu.hpp"
#include "deeplight/kernels/correlation_gradient_cpu.hpp"
#include "deeplight/kernels/image_view.hpp"
#include "deeplight/kernels/workspace.hpp"

namespace deeplight::kernels {

/// Sizes of a depthwise convolution. Paddings may be negative: the image is cut.
struct DepthwiseGeometry {
  std::int64_t batch = 0, channels = 0, height = 0, width = 0;
  KernelShape kernel;
  std::int64_t pad_h = 0, pad_w = 0;

  std::int64_t out_height() const { return height + 2 * pad_h - kernel.reach_h(); }
  std::int64_t out_width() const { return width + 2 * pad_w - kernel.reach_w(); }
};

/// The kernels of one instruction set. Both images of a call have the same layout: `column` is 1 in
/// both (planes) or `channel` is 1 in both (channels-last).
template <class T>
struct DepthwiseTable {
  /// out = correlation of image and weight [C, kh, kw], plus bias [C] (or null).
  /// `flip` turns the kernels by 180 degrees: the gradient for the image, of the gradient.
  void (*forward)(const DepthwiseGeometry&, const ImageView<const T>& image, const T* weight,
                  bool flip, const T* bias, const ImageView<T>& out, const ParallelFor&);
  /// weight_grad [C, kh, kw] and bias_grad [C], overwritten.
  void (*weight_gradient)(const DepthwiseGeometry&, const ImageView<const T>& image,
                          const ImageView<const T>& grad, T* weight_grad, T* bias_grad,
                          const ParallelFor&);
};

using DepthwiseTables = ByType<DepthwiseTable>;

inline namespace DEEPLIGHT_SIMD_TAG {
namespace depthwise_detail {

/// How the work is cut: `size` channels at a time, blocks of `rows` x `columns` results.
struct Cut {
  std::int64_t size, groups, rows, columns, down, across;

  std::int64_t blocks() const { return down * across; }
};

template <class T, class Arch, bool channel_lanes>
Cut cut(const DepthwiseGeometry& g) {
  Cut c{};
  c.size = channel_lanes ? simd::Pack<T, Arch>::width : 1;
  c.groups = (g.channels + c.size - 1) / c.size;
  c.rows = channel_lanes ? 32 : 64;
  c.columns = channel_lanes ? 64 : 512;
  c.down = (g.out_height() + c.rows - 1) / c.rows;
  c.across = (g.out_width() + c.columns - 1) / c.columns;
  return c;
}

/// A block of an image, with what lies outside of it zero.
/// @param lanes  channels of the vector that exist; the others are zero
template <class T, class Arch, bool channel_lanes>
void copy_block(const ImageView<const T>& view, std::int64_t height, std::int64_t width,
                std::int64_t top, std::int64_t left, std::int64_t rows, std::int64_t columns,
                std::int64_t lanes, T* out, std::int64_t pitch) {
  using Pack = simd::Pack<T, Arch>;
  if constexpr (!channel_lanes) {
    // The slack of a row is zero too: vectors read beyond its last element.
    copy_padded(view.data, view.row, height, width, top, left, rows, pitch, out, pitch);
  } else {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t y = top + r;
      const bool exists = y >= 0 && y < height;
      T* to = out + r * pitch;
      for (std::int64_t c = 0; c < columns; ++c, to += Pack::width) {
        const std::int64_t x = left + c;
        if (!exists || x < 0 || x >= width) {
          Pack::zero().store(to);
          continue;
        }
        const T* from = view.data + y * view.row + x * view.column;
        if (lanes == Pack::width) {
          Pack::load(from).store(to);
        } else {
          Pack::zero().store(to);
          for (std::int64_t l = 0; l < lanes; ++l) to[l] = from[l];
        }
      }
    }
  }
}

/// @param add  planes only: to what `out` holds, instead of the bias
template <class T, class Arch, bool channel_lanes>
void forward(const DepthwiseGeometry& g, const ImageView<const T>& image, const T* weight,
             bool flip, const T* bias, const ImageView<T>& out, const ParallelFor& parallel,
             bool add = false) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  const Cut cuts = cut<T, Arch, channel_lanes>(g);
  const std::int64_t taps = g.kernel.taps(), size = cuts.size;
  const bool streamed =
      g.batch * g.channels * g.out_height() * g.out_width() * std::int64_t(sizeof(T)) >=
      streamed_bytes;
  parallel(0, g.batch * cuts.groups * cuts.blocks(), [&](std::int64_t begin, std::int64_t end) {
    Workspace<T> block_space, result_space, weight_space;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t block = item % cuts.blocks();
      const std::int64_t group = item / cuts.blocks() % cuts.groups;
      const std::int64_t sample = item / cuts.blocks() / cuts.groups, channel = group * size;
      const std::int64_t lanes = g.channels - channel < size ? g.channels - channel : size;
      const std::int64_t top = block / cuts.across * cuts.rows;
      const std::int64_t left = block % cuts.across * cuts.columns;
      Correlation<T> c;
      c.kernel = g.kernel;
      c.rows = g.out_height() - top < cuts.rows ? g.out_height() - top : cuts.rows;
      c.columns = g.out_width() - left < cuts.columns ? g.out_width() - left : cuts.columns;
      const std::int64_t rows = c.rows + g.kernel.reach_h();
      const std::int64_t columns = c.columns + g.kernel.reach_w();
      c.source_row = columns * size + (channel_lanes ? 0 : width);
      T* source = block_space.of(rows * c.source_row + width);
      copy_block<T, Arch, channel_lanes>(
          {image.data + sample * image.sample + channel * image.channel, 0, 0, image.row,
           image.column},
          g.height, g.width, top - g.pad_h, left - g.pad_w, rows, columns, lanes, source,
          c.source_row);
      T* weights = weight_space.of((taps + 1) * size);
      for (std::int64_t t = 0; t < taps; ++t)
        for (std::int64_t l = 0; l < size; ++l)
          weights[t * size + l] =
              l < lanes ? weight[(channel + l) * taps + (flip ? taps - 1 - t : t)] : T(0);
      for (std::int64_t l = 0; bias && l < size; ++l)
        weights[taps * size + l] = l < lanes ? bias[channel + l] : T(0);
      c.source = source;
      c.weights = weights;
      c.bias = bias ? weights + taps * size : nullptr;
      T* target = out.data + sample * out.sample + channel * out.channel + top * out.row +
                  left * out.column;
      if constexpr (!channel_lanes) {
        c.target = target;
        c.target_row = out.row;
        c.add = add;
        c.streamed = streamed && reinterpret_cast<std::uintptr_t>(target) % 64 == 0 &&
                     out.row * std::int64_t(sizeof(T)) % 64 == 0;
        correlate<T, Arch, false>(c);
      } else {
        c.target_row = cuts.columns * size;
        c.target = result_space.of(cuts.rows * c.target_row);
        correlate<T, Arch, true>(c);
        using Pack = simd::Pack<T, Arch>;
        for (std::int64_t r = 0; r < c.rows; ++r) {
          for (std::int64_t x = 0; x < c.columns; ++x) {
            const T* from = c.target + r * c.target_row + x * size;
            T* to = target + r * out.row + x * out.column;
            if (lanes == size)
              Pack::load(from).store(to);
            else
              for (std::int64_t l = 0; l < lanes; ++l) to[l] = from[l];
          }
        }
      }
    }
    if (streamed) streamed_lines_written();
  });
}

template <class T, class Arch, bool channel_lanes>
void weight_gradient(const DepthwiseGeometry& g, const ImageView<const T>& image,
                     const ImageView<const T>& grad, T* weight_grad, T* bias_grad,
                     const ParallelFor& parallel) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  // Blocks of a group of channels are summed in this many parts, whatever the number of threads.
  constexpr std::int64_t most_parts = 16;
  const Cut cuts = cut<T, Arch, channel_lanes>(g);
  const std::int64_t taps = g.kernel.taps(), size = cuts.size;
  const std::int64_t slots = taps + 1;  // the last one is the bias
  const std::int64_t blocks = g.batch * cuts.blocks();
  const std::int64_t parts = blocks < most_parts ? blocks : most_parts;
  Workspace<double> sum_space;
  double* sums = sum_space.of(cuts.groups * parts * slots * size + 1);
  parallel(0, cuts.groups * parts, [&](std::int64_t begin, std::int64_t end) {
    Workspace<T> block_space, grad_space;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t group = item / parts, part = item % parts, channel = group * size;
      const std::int64_t lanes = g.channels - channel < size ? g.channels - channel : size;
      double* sum = sums + item * slots * size;
      for (std::int64_t i = 0; i < slots * size; ++i) sum[i] = 0;
      for (std::int64_t i = blocks * part / parts; i < blocks * (part + 1) / parts; ++i) {
        const std::int64_t sample = i / cuts.blocks(), block = i % cuts.blocks();
        const std::int64_t top = block / cuts.across * cuts.rows;
        const std::int64_t left = block % cuts.across * cuts.columns;
        CorrelationGradient<T> c;
        c.kernel = g.kernel;
        c.rows = g.out_height() - top < cuts.rows ? g.out_height() - top : cuts.rows;
        c.columns = g.out_width() - left < cuts.columns ? g.out_width() - left : cuts.columns;
        const std::int64_t rows = c.rows + g.kernel.reach_h();
        const std::int64_t columns = c.columns + g.kernel.reach_w();
        const std::int64_t slack = channel_lanes ? 0 : width;
        c.source_row = columns * size + slack;
        T* source = block_space.of(rows * c.source_row + width);
        copy_block<T, Arch, channel_lanes>(
            {image.data + sample * image.sample + channel * image.channel, 0, 0, image.row,
             image.column},
            g.height, g.width, top - g.pad_h, left - g.pad_w, rows, columns, lanes, source,
            c.source_row);
        c.grad_row = c.columns * size + slack;
        T* own = grad_space.of(c.rows * c.grad_row);
        copy_block<T, Arch, channel_lanes>(
            {grad.data + sample * grad.sample + channel * grad.channel, 0, 0, grad.row,
             grad.column},
            top + c.rows, left + c.columns, top, left, c.rows, c.columns, lanes, own, c.grad_row);
        c.source = source;
        c.grad = own;
        c.sum = sum;
        correlate_gradient<T, Arch, channel_lanes>(c);
        add_up<T, Arch, channel_lanes>(own, c.grad_row, c.rows, c.columns, sum + taps * size);
      }
    }
  });
  for (std::int64_t c = 0; c < g.channels; ++c)
    for (std::int64_t t = 0; t < slots; ++t) {
      double sum = 0;
      for (std::int64_t part = 0; part < parts; ++part)
        sum += sums[((c / size * parts + part) * slots + t) * size + c % size];
      (t < taps ? weight_grad[c * taps + t] : bias_grad[c]) = static_cast<T>(sum);
    }
}

template <class T>
bool channels_are_lanes(const ImageView<T>& view) {
  return view.column != 1;
}

template <class T, class Arch>
void any_forward(const DepthwiseGeometry& g, const ImageView<const T>& image, const T* weight,
                 bool flip, const T* bias, const ImageView<T>& out, const ParallelFor& parallel) {
  if (channels_are_lanes(image))
    forward<T, Arch, true>(g, image, weight, flip, bias, out, parallel);
  else
    forward<T, Arch, false>(g, image, weight, flip, bias, out, parallel);
}

template <class T, class Arch>
void any_weight_gradient(const DepthwiseGeometry& g, const ImageView<const T>& image,
                         const ImageView<const T>& grad, T* weight_grad, T* bias_grad,
                         const ParallelFor& parallel) {
  (channels_are_lanes(image)
       ? weight_gradient<T, Arch, true>
       : weight_gradient<T, Arch, false>)(g, image, grad, weight_grad, bias_grad, parallel);
}

}  // namespace depthwise_detail

template <class Arch>
constexpr DepthwiseTables depthwise_table() {
  using namespace depthwise_detail;
  return {{&any_forward<float, Arch>, &any_weight_gradient<float, Arch>},
          {&any_forward<double, Arch>, &any_weight_gradient<double, Arch>}};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
