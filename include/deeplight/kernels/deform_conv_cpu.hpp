// Deformable convolution on raw pointers, without torch: forward, and what backward shares.
//
// One sample. Image: padded NHWC, [H + 2, W + 2, C] with a border of zeros, so that a neighbour
// outside the image is read like any other; offset [G*K*2, OH*OW] (per group and kernel tap: dy,
// dx); mask [G*K, OH*OW] or null (all ones); K = kernel_h * kernel_w taps, G offset groups.
// A block is a rectangle of 48 output positions. Per block and tap the plan (where each position
// samples, with which four weights) is computed once and serves all channels; the sampled columns
// of a few taps stay in L1/L2 and are multiplied at once into the block's outputs, [48, O] in L1.
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
  std::int32_t row[deform_block], inside[deform_block];
};

/// The plan of one block's points, at `base` + `tap` + offset. On its own, with pointers that
/// exclude each other: only so the compiler makes vectors of it.
template <bool gradients, class T>
void deform_points(const DeformGeometry& g, std::int64_t image_row, const T* DEEPLIGHT_RESTRICT dy,
                   const T* DEEPLIGHT_RESTRICT dx, const T* DEEPLIGHT_RESTRICT mask,
                   const std::int32_t* DEEPLIGHT_RESTRICT base_y,
                   const std::int32_t* DEEPLIGHT_RESTRICT base_x, std::int32_t tap_y,
                   std::int32_t tap_x, DeformPlan<T>& DEEPLIGHT_RESTRICT out) {
  const auto height = static_cast<std::int32_t>(g.height);
  const auto width = static_cast<std::int32_t>(g.width);
  const std::int64_t channels = g.channels;
  std::int32_t row[deform_block], column[deform_block];
  for (std::int64_t p = 0; p < deform_block; ++p) {
    const auto y = DeformAxis<T>::at(base_y[p] + tap_y, dy[p], height);
    const auto x = DeformAxis<T>::at(base_x[p] + tap_x, dx[p], width);
    const std::int32_t inside = y.inside & x.inside;
    const T factor = mask[p];
    const T scale = inside ? factor : T(0);
    const T low = scale * (T(1) - y.fraction), high = scale * y.fraction;
    out.weight[0][p] = low * (T(1) - x.fraction);
    out.weight[1][p] = low * x.fraction;
    out.weight[2][p] = high * (T(1) - x.fraction);
    out.weight[3][p] = high * x.fraction;
    row[p] = -inside & (y.pixel + 1);
    column[p] = -inside & (x.pixel + 1);
    if constexpr (gradients) {
      out.ly[p] = y.fraction, out.lx[p] = x.fraction, out.mask[p] = scale;
      out.inside[p] = inside, out.row[p] = row[p];
    }
  }
  for (std::int64_t p = 0; p < deform_block; ++p)
    out.index[p] = row[p] * image_row + column[p] * channels;
}

/// One rectangle of positions, row after row, and their places on the undeformed grid.
template <class T>
struct DeformBlock {
  std::int64_t y, x, rows, width, count;
  std::int64_t begin;  // of the positions; row r of the block is at begin + r * out_width
  std::int32_t base_y[deform_block], base_x[deform_block];

  DeformBlock(const DeformGeometry& g, const DeformBlocks& blocks, std::int64_t block) {
    y = block / blocks.across * blocks.height;
    x = block % blocks.across * blocks.width;
    begin = y * g.out_width + x;
    rows = g.out_height - y < blocks.height ? g.out_height - y : blocks.height;
    width = g.out_width - x < blocks.width ? g.out_width - x : blocks.width;
    count = rows * width;
    std::int64_t p = 0;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < width; ++i, ++p) {
        base_y[p] = static_cast<std::int32_t>((y + r) * g.stride_h - g.pad_h);
        base_x[p] = static_cast<std::int32_t>((x + i) * g.stride_w - g.pad_w);
      }
    // Positions behind the last one lie outside of every image.
    for (; p < deform_block; ++p)
      base_y[p] = static_cast<std::int32_t>(-deform_side_limit), base_x[p] = 0;
  }

  /// Asks for the pixels that the blocks below are the first to sample, about: offsets reach a few
  /// rows. Without it each of them is waited for, which on large images is a tenth of the time.
  /// (Inlined, else GCC takes a function that only asks for one without effect and drops it.)
  DEEPLIGHT_ALWAYS_INLINE void ask_ahead(const DeformSample<T>& s) const {
    constexpr std::int64_t reach = 4;
    const DeformGeometry& g = s.geometry;
    const std::int64_t first = (y + rows) * g.stride_h - g.pad_h + reach;
    const std::int64_t below = first + rows * g.stride_h, last = g.height + 2;
    const std::int64_t left = x * g.stride_w, right = left + width * g.stride_w;
    const std::int64_t end = (right < g.width + 2 ? right : g.width + 2) * g.channels;
    for (std::int64_t r = first < 0 ? 0 : first; r < (below < last ? below : last); ++r)
      for (std::int64_t i = left * g.channels; i < end; i += 64 / std::int64_t(sizeof(T)))
        DEEPLIGHT_PREFETCH(s.image + r * s.image_row + i);
  }

  /// The plan of one tap (0 <= tap < K) of one offset group.
  template <bool gradients>
  void plan(const DeformSample<T>& s, std::int64_t group, std::int64_t tap,
            DeformPlan<T>& out) const {
    const DeformGeometry& g = s.geometry;
    const std::int64_t slot = group * g.taps() + tap, positions = g.positions();
    const T* from[3] = {s.offset + 2 * slot * positions + begin,
                        s.offset + (2 * slot + 1) * positions + begin,
                        s.mask ? s.mask + slot * positions + begin : nullptr};
    T held[3][deform_block];
    for (int i = 0; i < 3; ++i) {
      if (from[i] && width == 16) {
        for (std::int64_t r = 0; r < rows; ++r) {
          std::memcpy(held[i] + r * 16, from[i] + r * g.out_width, 16 * sizeof(T));
          // Short pieces of many planes: too many streams for the hardware to foresee.
          DEEPLIGHT_PREFETCH(from[i] + r * g.out_width + 16);
        }
      } else {
        for (std::int64_t r = 0; from[i] && r < rows; ++r)
          std::memcpy(held[i] + r * width, from[i] + r * g.out_width, width * sizeof(T));
      }
      // Behind the last position nothing moves.
      for (std::int64_t p = from[i] ? count : 0; p < deform_block; ++p) held[i][p] = T(i / 2);
    }
    const auto tap_y = static_cast<std::int32_t>((tap / g.kernel_w) * g.dilation_h);
    const auto tap_x = static_cast<std::int32_t>((tap % g.kernel_w) * g.dilation_w);
    deform_points<gradients>(g, s.image_row, held[0], held[1], held[2], base_y, base_x, tap_y,
                             tap_x, out);
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

namespace deform_detail {

/// One block's outputs, [count, groups * padded], to where they belong.
template <class T>
void store_tile(const DeformForward<T>& f, const DeformBlock<T>& block, const T* tile) {
  const std::int64_t padded = f.padded_outputs(), row = f.groups * padded;
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const T* from = tile + r * block.width * row;
    const std::int64_t at = block.begin + r * f.geometry.out_width;
    if (f.out_channel == 1 && row == f.outputs) {
      std::memcpy(f.out + at * row, from, block.width * row * sizeof(T));
      continue;
    }
    for (std::int64_t group = 0; group < f.groups; ++group) {
      const std::int64_t o = group * f.group_outputs();
      if (f.out_channel == 1) {
        for (std::int64_t i = 0; i < block.width; ++i)
          std::memcpy(f.out + (at + i) * f.out_position + o, from + i * row + group * padded,
                      f.group_outputs() * sizeof(T));
      } else {
        transpose(from + group * padded, row, f.out + o * f.out_channel + at, f.out_channel,
                  block.width, f.group_outputs(), false, f.streamed);
      }
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
  const DeformBlocks blocks(g);
  const std::int64_t taps = g.taps(), depth = f.group_channels(), padded = f.padded_outputs();
  const std::int64_t at_once = deform_taps_at_once(taps, depth);
  const std::int64_t column_row = at_once * depth + deform_slack, out_row = f.groups * padded;
  const std::int64_t group_columns = deform_block * column_row;
  DeformScratch<T> columns(f.groups * group_columns + deform_slack), tile(deform_block * out_row);
  DeformScratch<T> start(out_row);
  std::memset(start, 0, out_row * sizeof(T));
  for (std::int64_t group = 0; f.bias && group < f.groups; ++group)
    std::memcpy(start + group * padded, f.bias + group * f.group_outputs(),
                f.group_outputs() * sizeof(T));
  DeformPlan<T> plan;
  for (std::int64_t b = begin; b < end; ++b) {
    const DeformBlock<T> block(g, blocks, b);
    block.ask_ahead(f);
    const std::int64_t rows = (block.count + 3) / 4 * 4;
    for (std::int64_t first = 0; first < taps; first += at_once) {
      const std::int64_t held = taps - first < at_once ? taps - first : at_once;
      for (std::int64_t tap = 0; tap < held; ++tap) {
        for (std::int64_t og = 0; og < g.offset_groups; ++og) {
          block.template plan<false>(f, og, first + tap, plan);
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
        if (first == 0) product.start = start + group * padded;
        gemm_accumulate<T, Arch>(product);
      }
    }
    deform_detail::store_tile<T>(f, block, tile);
  }
  if (f.streamed) streamed_lines_written();
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
