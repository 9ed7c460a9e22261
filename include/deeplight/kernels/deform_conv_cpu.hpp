// Deformable convolution on raw pointers, without torch: forward, and what backward shares.
//
// One sample. Image: padded NHWC, [H + 2, W + 2, C] with a border of zeros, so that a neighbour
// outside the image is read like any other; offset [G*K*2, OH*OW] (per group and kernel tap: dy,
// dx); mask [G*K, OH*OW] or null (all ones); K = kernel_h * kernel_w taps, G offset groups.
// A block is 48 output positions. Per block and tap the plan (where each position samples, with
// which four weights) is computed once and serves all channels; the sampled columns of a few taps
// stay in L1/L2 and are multiplied at once into the block's outputs, [48, O] in L1.
// A tap outside the image, or with a NaN or infinite offset, samples 0 and has no gradient.
// Source: Dai et al. 2017 (arXiv 1703.06211), eq. 2-4; modulation: Zhu et al. 2019 (arXiv
// 1811.11168).
#pragma once

#include <cstdint>
#include <cstring>
#include <new>

#include "deeplight/kernels/deform_conv_table.hpp"
#include "deeplight/kernels/gemm_cpu.hpp"
#include "deeplight/kernels/simd.hpp"
#include "deeplight/kernels/transpose_cpu.hpp"

namespace deeplight::kernels {

inline namespace DEEPLIGHT_SIMD_TAG {

/// Cache-aligned memory of one call.
template <class T>
class DeformScratch {
 public:
  explicit DeformScratch(std::int64_t count)
      : data_(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{64}))) {}
  ~DeformScratch() { ::operator delete(data_, std::align_val_t{64}); }
  DeformScratch(const DeformScratch&) = delete;
  DeformScratch& operator=(const DeformScratch&) = delete;
  operator T*() const { return data_; }

 private:
  T* data_;
};

/// Where the positions of one block sample, for one tap and offset group.
template <class T>
struct DeformPlan {
  std::int64_t index[deform_block];  // of the top left neighbour's first channel
  T weight[4][deform_block];         // of the four neighbours, mask included; 0 outside
  T ly[deform_block], lx[deform_block], mask[deform_block];
  std::int32_t row[deform_block], column[deform_block], inside[deform_block];
};

/// The positions [begin, begin + count) of a sample and their places on the undeformed grid.
template <class T>
struct DeformBlock {
  std::int64_t begin, count;
  std::int32_t base_y[deform_block], base_x[deform_block];

  DeformBlock(const DeformGeometry& g, std::int64_t block) : begin(block * deform_block) {
    count = g.positions() - begin < deform_block ? g.positions() - begin : deform_block;
    std::int64_t y = begin / g.out_width, x = begin % g.out_width;
    for (std::int64_t p = 0; p < deform_block; ++p) {
      // Positions behind the last one lie outside of every image.
      base_y[p] = p < count ? static_cast<std::int32_t>(y * g.stride_h - g.pad_h)
                            : static_cast<std::int32_t>(-deform_side_limit);
      base_x[p] = static_cast<std::int32_t>(x * g.stride_w - g.pad_w);
      if (++x == g.out_width) x = 0, ++y;
    }
  }

  /// The plan of one tap (0 <= tap < K) of one offset group.
  void plan(const DeformSample<T>& s, std::int64_t group, std::int64_t tap,
            DeformPlan<T>& out) const {
    const DeformGeometry& g = s.geometry;
    const std::int64_t slot = group * g.taps() + tap, positions = g.positions();
    const T* from[3] = {s.offset + 2 * slot * positions + begin,
                        s.offset + (2 * slot + 1) * positions + begin,
                        s.mask ? s.mask + slot * positions + begin : nullptr};
    T held[3][deform_block];
    for (int i = 0; i < 3; ++i) {
      for (std::int64_t p = from[i] ? count : 0; p < deform_block; ++p) held[i][p] = T(1);
      if (!from[i]) continue;
      std::memcpy(held[i], from[i], count * sizeof(T));
      // Three short pieces per tap of as many planes: too many streams for the hardware to foresee.
      for (std::int64_t line = 0; line < deform_block; line += 16)
        DEEPLIGHT_PREFETCH(from[i] + deform_block + line);
    }
    const auto tap_y = static_cast<std::int32_t>((tap / g.kernel_w) * g.dilation_h);
    const auto tap_x = static_cast<std::int32_t>((tap % g.kernel_w) * g.dilation_w);
    const auto height = static_cast<std::int32_t>(g.height);
    const auto width = static_cast<std::int32_t>(g.width);
    for (std::int64_t p = 0; p < deform_block; ++p) {
      const auto y = DeformAxis<T>::at(base_y[p] + tap_y, held[0][p], height);
      const auto x = DeformAxis<T>::at(base_x[p] + tap_x, held[1][p], width);
      const std::int32_t inside = y.inside & x.inside;
      const T scale = inside ? held[2][p] : T(0);
      const T low = scale * (T(1) - y.fraction), high = scale * y.fraction;
      out.weight[0][p] = low * (T(1) - x.fraction);
      out.weight[1][p] = low * x.fraction;
      out.weight[2][p] = high * (T(1) - x.fraction);
      out.weight[3][p] = high * x.fraction;
      out.ly[p] = y.fraction, out.lx[p] = x.fraction, out.mask[p] = scale;
      out.inside[p] = inside;
      out.row[p] = -inside & (y.pixel + 1);
      out.column[p] = -inside & (x.pixel + 1);
    }
    for (std::int64_t p = 0; p < deform_block; ++p)
      out.index[p] = out.row[p] * s.image_row + out.column[p] * g.channels;
  }
};

/// Taps whose columns are held at once: enough depth for the product, little enough for the cache.
DEEPLIGHT_ALWAYS_INLINE std::int64_t deform_taps_at_once(std::int64_t taps,
                                                         std::int64_t group_channels) {
  const std::int64_t fit = 192 / group_channels;
  return fit < 1 ? 1 : fit < taps ? fit : taps;
}

/// Calls visit(group, first, count) for every run of channels with one offset group and one
/// convolution group.
template <class T, class Visit>
DEEPLIGHT_ALWAYS_INLINE void deform_segments(const DeformSample<T>& s, std::int64_t offset_group,
                                             const Visit& visit) {
  const std::int64_t per_offset = s.geometry.channels_per_group(), per_group = s.group_channels();
  std::int64_t c = offset_group * per_offset;
  const std::int64_t end = c + per_offset;
  while (c < end) {
    const std::int64_t group = c / per_group;
    const std::int64_t stop = (group + 1) * per_group < end ? (group + 1) * per_group : end;
    visit(group, c, stop - c);
    c = stop;
  }
}

namespace deform_detail {

// `packs` vectors of one position; fixed > 0 unrolls.
template <class T, class Arch, int fixed>
DEEPLIGHT_ALWAYS_INLINE void sample_channels(const DeformPlan<T>& plan, std::int64_t count,
                                             const T* image, std::int64_t row, std::int64_t pixel,
                                             std::int64_t packs, T* columns, std::int64_t stride) {
  using Pack = simd::Pack<T, Arch>;
  for (std::int64_t p = 0; p < count; ++p) {
    const T* top = image + plan.index[p];
    const T* bottom = top + row;
    const Pack w0 = Pack::all(plan.weight[0][p]), w1 = Pack::all(plan.weight[1][p]);
    const Pack w2 = Pack::all(plan.weight[2][p]), w3 = Pack::all(plan.weight[3][p]);
    T* to = columns + p * stride;
    const std::int64_t n = fixed > 0 ? fixed : packs;
#pragma GCC unroll 4
    for (std::int64_t v = 0; v < n; ++v) {
      const std::int64_t c = v * Pack::width;
      Pack value = w0 * Pack::load(top + c);
      value = fma(w1, Pack::load(top + pixel + c), value);
      value = fma(w2, Pack::load(bottom + c), value);
      fma(w3, Pack::load(bottom + pixel + c), value).store(to + c);
    }
  }
}

}  // namespace deform_detail

/// Columns of one tap and one run of `channels`: columns[p * stride + c], c rounded up to whole
/// vectors; what stands behind them is written again by the next run or lies in the slack.
template <class T, class Arch>
void deform_sample(const DeformPlan<T>& plan, std::int64_t count, const T* image, std::int64_t row,
                   std::int64_t pixel, std::int64_t channels, T* columns, std::int64_t stride) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  const std::int64_t packs = (channels + width - 1) / width;
  using deform_detail::sample_channels;
  if (packs == 1)
    return sample_channels<T, Arch, 1>(plan, count, image, row, pixel, 1, columns, stride);
  if (packs == 2)
    return sample_channels<T, Arch, 2>(plan, count, image, row, pixel, 2, columns, stride);
  if (packs == 4)
    return sample_channels<T, Arch, 4>(plan, count, image, row, pixel, 4, columns, stride);
  sample_channels<T, Arch, 0>(plan, count, image, row, pixel, packs, columns, stride);
}

/// Computes blocks [begin, end) of a sample; blocks are independent of each other.
template <class T, class Arch>
void deform_forward(const DeformForward<T>& f, std::int64_t begin, std::int64_t end) {
  const DeformGeometry& g = f.geometry;
  const std::int64_t taps = g.taps(), depth = f.group_channels(), padded = f.padded_outputs();
  const std::int64_t at_once = deform_taps_at_once(taps, depth);
  const std::int64_t column_row = at_once * depth + deform_slack, out_row = f.groups * padded;
  const std::int64_t group_columns = deform_block * column_row;
  DeformScratch<T> columns(f.groups * group_columns + deform_slack), tile(deform_block * out_row);
  DeformPlan<T> plan;
  for (std::int64_t b = begin; b < end; ++b) {
    const DeformBlock<T> block(g, b);
    const std::int64_t rows = (block.count + 3) / 4 * 4;
    for (std::int64_t p = 0; p < rows; ++p) {
      T* to = tile + p * out_row;
      std::memset(to, 0, out_row * sizeof(T));
      if (!f.bias) continue;
      for (std::int64_t group = 0; group < f.groups; ++group)
        std::memcpy(to + group * padded, f.bias + group * f.group_outputs(),
                    f.group_outputs() * sizeof(T));
    }
    for (std::int64_t first = 0; first < taps; first += at_once) {
      const std::int64_t held = taps - first < at_once ? taps - first : at_once;
      for (std::int64_t tap = 0; tap < held; ++tap) {
        for (std::int64_t og = 0; og < g.offset_groups; ++og) {
          block.plan(f, og, first + tap, plan);
          deform_segments(f, og, [&](std::int64_t group, std::int64_t c, std::int64_t channels) {
            deform_sample<T, Arch>(
                plan, rows, f.image + c, f.image_row, g.channels, channels,
                columns + group * group_columns + tap * depth + c - group * depth, column_row);
          });
        }
      }
      for (std::int64_t group = 0; group < f.groups; ++group) {
        GemmBlock<T> product;
        product.rows = rows, product.columns = f.group_outputs(), product.depth = held * depth;
        product.a = columns + group * group_columns, product.a_row = column_row;
        product.b = f.weight + (group * taps + first) * depth * padded, product.b_depth = padded;
        product.c = tile + group * padded, product.c_row = out_row;
        gemm_accumulate<T, Arch>(product);
      }
    }
    for (std::int64_t group = 0; group < f.groups; ++group) {
      const std::int64_t o = group * f.group_outputs();
      const T* from = tile + group * padded;
      if (f.out_position == 1) {
        transpose(from, out_row, f.out + o * f.out_channel + block.begin, f.out_channel,
                  block.count, f.group_outputs(), false);
        continue;
      }
      for (std::int64_t p = 0; p < block.count; ++p)
        std::memcpy(f.out + (block.begin + p) * f.out_position + o, from + p * out_row,
                    f.group_outputs() * sizeof(T));
    }
  }
}

/// Rows [begin, end) of the padded image, 0 <= row < H + 2; the first and the last are zero.
template <class T, class Arch>
void deform_pad(const DeformPadding<T>& f, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    T* to = f.padded + r * f.padded_row;
    if (r == 0 || r == f.height + 1) {
      std::memset(to, 0, (f.width + 2) * f.channels * sizeof(T));
      continue;
    }
    std::memset(to, 0, f.channels * sizeof(T));
    std::memset(to + (f.width + 1) * f.channels, 0, f.channels * sizeof(T));
    const T* from = f.image + (r - 1) * f.row;
    to += f.channels;
    if (f.column == 1) {
      // Strips of columns, so that the lines of all channels' rows stay in the cache.
      for (std::int64_t x = 0; x < f.width; x += 64)
        transpose(from + x, f.channel, to + x * f.channels, f.channels, f.channels,
                  f.width - x < 64 ? f.width - x : 64, true);
    } else {
      for (std::int64_t x = 0; x < f.width; ++x)
        std::memcpy(to + x * f.channels, from + x * f.column, f.channels * sizeof(T));
    }
  }
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
