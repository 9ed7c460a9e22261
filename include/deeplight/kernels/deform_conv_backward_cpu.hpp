// Gradients of deformable convolution on raw pointers; layouts as in deform_conv_cpu.hpp.
//
// A chunk is a run of blocks. Per block and a few taps: the gradient of the columns is one product
// of the outputs' gradient with the transposed weights; one pass over the channels then samples the
// columns anew, scatters into the image's gradient and takes four dot products per position, from
// which the gradients of offset and mask follow; the columns and the outputs' gradient multiply to
// the gradient of the weights.
// Each chunk scatters into a slab of its own, which covers the rows that its offsets reach, and
// sums weights and bias into a buffer of its own. Slabs and buffers are added in the order of the
// chunks, whose number follows from the shapes and offsets alone: no result depends on threads.
#pragma once

#include "deeplight/kernels/deform_conv_cpu.hpp"

namespace deeplight::kernels {

inline namespace DEEPLIGHT_SIMD_TAG {

namespace deform_detail {

/// One run of channels of one position: samples, scatters, and adds the four dot products.
template <class Pack, class T>
DEEPLIGHT_ALWAYS_INLINE void backward_channels(std::int64_t begin, std::int64_t end,
                                               const T* weight, const T* grad, const T* top,
                                               const T* bottom, std::int64_t pixel, T* grad_top,
                                               T* grad_bottom, T* columns, Pack* dots) {
  const Pack w0 = Pack::all(weight[0]), w1 = Pack::all(weight[1]);
  const Pack w2 = Pack::all(weight[2]), w3 = Pack::all(weight[3]);
  for (std::int64_t c = begin; c + Pack::width <= end; c += Pack::width) {
    const Pack g = Pack::load(grad + c);
    const Pack v0 = Pack::load(top + c), v1 = Pack::load(top + pixel + c);
    const Pack v2 = Pack::load(bottom + c), v3 = Pack::load(bottom + pixel + c);
    fma(w3, v3, fma(w2, v2, fma(w1, v1, w0 * v0))).store(columns + c);
    dots[0] = fma(g, v0, dots[0]);
    dots[1] = fma(g, v1, dots[1]);
    dots[2] = fma(g, v2, dots[2]);
    dots[3] = fma(g, v3, dots[3]);
    fma(w0, g, Pack::load(grad_top + c)).store(grad_top + c);
    fma(w1, g, Pack::load(grad_top + pixel + c)).store(grad_top + pixel + c);
    fma(w2, g, Pack::load(grad_bottom + c)).store(grad_bottom + c);
    fma(w3, g, Pack::load(grad_bottom + pixel + c)).store(grad_bottom + pixel + c);
  }
}

/// The dot products of one block, tap and offset group: `lanes` of every position and neighbour.
template <class T, class Arch>
struct DeformDots {
  static constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  T lanes[deform_block * 4 * width];
  T rest[deform_block * 4];  // of channels that fill no vector
  T sums[deform_block * 4 + width];

  void finish() {
    for (std::int64_t i = 0; i < deform_block * 4; i += width)
      simd::Pack<T, Arch>::sums_of(lanes + i * width).store(sums + i);
    for (std::int64_t i = 0; i < deform_block * 4; ++i) sums[i] += rest[i];
  }
};

template <class T, class Arch>
void backward_run(const DeformBackward<T>& f, const DeformPlan<T>& plan, std::int64_t count,
                  std::int64_t first, std::int64_t channels, const T* grad, T* columns,
                  std::int64_t stride, DeformDots<T, Arch>& dots) {
  using Pack = simd::Pack<T, Arch>;
  using One = simd::Pack<T, simd::Scalar>;
  const std::int64_t whole = channels / Pack::width * Pack::width;
  const std::int64_t row = f.image_row, pixel = f.geometry.channels;
  for (std::int64_t p = 0; p < count; ++p) {
    if (!plan.inside[p]) {
      std::memset(columns + p * stride, 0, channels * sizeof(T));
      continue;
    }
    const T weight[4] = {plan.weight[0][p], plan.weight[1][p], plan.weight[2][p],
                         plan.weight[3][p]};
    const T* top = f.image + plan.index[p] + first;
    T* grad_top = f.slab + plan.index[p] - f.slab_first * row + first;
    T* lanes = dots.lanes + p * 4 * Pack::width;
    Pack sums[4];
    for (int k = 0; k < 4; ++k) sums[k] = Pack::load(lanes + k * Pack::width);
    backward_channels(0, whole, weight, grad + p * stride, top, top + row, pixel, grad_top,
                      grad_top + row, columns + p * stride, sums);
    for (int k = 0; k < 4; ++k) sums[k].store(lanes + k * Pack::width);
    if (whole == channels) continue;
    One rest[4];
    for (int k = 0; k < 4; ++k) rest[k] = One::load(dots.rest + p * 4 + k);
    backward_channels(whole, channels, weight, grad + p * stride, top, top + row, pixel, grad_top,
                      grad_top + row, columns + p * stride, rest);
    for (int k = 0; k < 4; ++k) rest[k].store(dots.rest + p * 4 + k);
  }
}

/// Gradients of offset and mask from the dot products of the gradient with the four neighbours.
template <class T>
void backward_offsets(const DeformBackward<T>& f, const DeformBlock<T>& block,
                      const DeformPlan<T>& plan, std::int64_t slot, const T* sums) {
  const std::int64_t positions = f.geometry.positions();
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const std::int64_t at = block.begin + r * f.geometry.out_width;
    T* by_y = f.grad_offset + 2 * slot * positions + at;
    T* by_x = by_y + positions;
    T* by_mask = f.grad_mask ? f.grad_mask + slot * positions + at : nullptr;
    for (std::int64_t i = 0; i < block.width; ++i) {
      const std::int64_t p = r * block.width + i;
      const T ly = plan.ly[p], lx = plan.lx[p];
      const T* d = sums + p * 4;
      by_y[i] = plan.mask[p] * ((1 - lx) * (d[2] - d[0]) + lx * (d[3] - d[1]));
      by_x[i] = plan.mask[p] * ((1 - ly) * (d[1] - d[0]) + ly * (d[3] - d[2]));
      if (by_mask)
        by_mask[i] = (1 - ly) * ((1 - lx) * d[0] + lx * d[1]) + ly * ((1 - lx) * d[2] + lx * d[3]);
    }
  }
}

/// The outputs' gradient of one block, [48, groups * padded]; columns in the padding are zero.
template <class T>
void backward_tile(const DeformBackward<T>& f, const DeformBlock<T>& block, T* tile) {
  const std::int64_t padded = f.padded_outputs(), row = f.groups * padded;
  std::memset(tile, 0, deform_block * row * sizeof(T));
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const std::int64_t at = block.begin + r * f.geometry.out_width;
    for (std::int64_t group = 0; group < f.groups; ++group) {
      const std::int64_t o = group * f.group_outputs();
      T* to = tile + r * block.width * row + group * padded;
      if (f.grad_position == 1) {
        transpose(f.grad + o * f.grad_channel + at, f.grad_channel, to, row, f.group_outputs(),
                  block.width, true);
        continue;
      }
      for (std::int64_t i = 0; i < block.width; ++i)
        std::memcpy(to + i * row, f.grad + (at + i) * f.grad_position + o,
                    f.group_outputs() * sizeof(T));
    }
  }
  // A block's few gradients as they are, all blocks' in double: one long sum would lose digits.
  constexpr std::int64_t together = 16;
  for (std::int64_t first = 0; first < row; first += together) {
    const std::int64_t count = row - first < together ? row - first : together;
    T sums[together] = {};
    for (std::int64_t p = 0; p < block.count; ++p)
      for (std::int64_t o = 0; o < count; ++o) sums[o] += tile[p * row + first + o];
    for (std::int64_t o = 0; o < count; ++o) f.grad_bias[first + o] += static_cast<double>(sums[o]);
  }
}

}  // namespace deform_detail

/// Computes blocks [begin, end), in this order, into the chunk's own slab and sums.
template <class T, class Arch>
void deform_backward(const DeformBackward<T>& f, std::int64_t begin, std::int64_t end) {
  const DeformGeometry& g = f.geometry;
  const DeformBlocks blocks(g);
  const std::int64_t taps = g.taps(), depth = f.group_channels(), padded = f.padded_outputs();
  const std::int64_t at_once = deform_taps_at_once(taps, depth);
  const std::int64_t stride =
      (at_once * depth + 2 * deform_slack - 1) / deform_slack * deform_slack;
  const std::int64_t group_columns = deform_block * stride, tile_row = f.groups * padded;
  DeformScratch<T> columns(f.groups * group_columns), grads(f.groups * group_columns);
  DeformScratch<T> tile(deform_block * tile_row);
  DeformScratch<deform_detail::DeformDots<T, Arch>> dots(1);
  DeformPlan<T> plan;
  for (std::int64_t b = begin; b < end; ++b) {
    const DeformBlock<T> block(g, blocks, b);
    deform_detail::backward_tile<T>(f, block, tile);
    for (std::int64_t first = 0; first < taps; first += at_once) {
      const std::int64_t held = taps - first < at_once ? taps - first : at_once;
      std::memset(grads, 0, f.groups * group_columns * sizeof(T));
      for (std::int64_t group = 0; group < f.groups; ++group) {
        GemmBlock<T> product;
        product.rows = block.count, product.columns = held * depth;
        product.depth = f.group_outputs();
        product.a = tile + group * padded, product.a_row = tile_row;
        product.b = f.weight + group * f.group_outputs() * f.weight_row + first * depth;
        product.b_depth = f.weight_row;
        product.c = grads + group * group_columns, product.c_row = stride;
        gemm_accumulate<T, Arch>(product);
      }
      for (std::int64_t tap = 0; tap < held; ++tap) {
        for (std::int64_t og = 0; og < g.offset_groups; ++og) {
          block.template plan<true>(f, og, first + tap, plan);
          auto& sums = *static_cast<deform_detail::DeformDots<T, Arch>*>(dots);
          std::memset(sums.lanes, 0, sizeof(sums.lanes));
          std::memset(sums.rest, 0, sizeof(sums.rest));
          deform_segments(f, og, [&](std::int64_t group, std::int64_t c, std::int64_t channels) {
            const std::int64_t at = group * group_columns + tap * depth + c - group * depth;
            deform_detail::backward_run<T, Arch>(f, plan, block.count, c, channels, grads + at,
                                                 columns + at, stride, sums);
          });
          sums.finish();
          deform_detail::backward_offsets(f, block, plan, og * taps + first + tap, sums.sums);
        }
      }
      for (std::int64_t group = 0; group < f.groups; ++group) {
        GemmBlock<T> product;
        product.rows = held * depth, product.columns = f.group_outputs();
        product.depth = block.count;
        product.a = columns + group * group_columns, product.a_row = 1, product.a_depth = stride;
        product.b = tile + group * padded, product.b_depth = tile_row;
        product.c = f.grad_weight + (group * taps + first) * depth * padded;
        product.c_row = padded;
        gemm_accumulate<T, Arch>(product);
      }
    }
  }
}

/// The rows that blocks [begin, end) scatter into.
template <class T, class Arch>
DeformRows deform_rows(const DeformSample<T>& f, std::int64_t begin, std::int64_t end) {
  const DeformGeometry& g = f.geometry;
  const DeformBlocks blocks(g);
  DeformRows rows{g.height + 1, 0};
  DeformPlan<T> plan;
  for (std::int64_t b = begin; b < end; ++b) {
    const DeformBlock<T> block(g, blocks, b);
    for (std::int64_t slot = 0; slot < g.offset_groups * g.taps(); ++slot) {
      block.template plan<true>(f, slot / g.taps(), slot % g.taps(), plan);
      for (std::int64_t p = 0; p < deform_block; ++p) {
        if (!plan.inside[p]) continue;
        if (plan.row[p] < rows.first) rows.first = plan.row[p];
        if (plan.row[p] + 1 > rows.last) rows.last = plan.row[p] + 1;
      }
    }
  }
  return rows;
}

/// Rows [begin, end) of the image's gradient: the sum of the slabs, in their order. `line` has
/// room for one padded row.
template <class T, class Arch>
void deform_gather(const DeformGather<T>& f, std::int64_t begin, std::int64_t end) {
  DeformScratch<T> line(f.width * f.channels);
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int64_t padded = r + 1, count = f.width * f.channels;
    bool first = true;
    const T* sum = line;
    for (std::int64_t s = 0; s < f.slabs; ++s) {
      if (padded < f.rows[s].first || padded > f.rows[s].last) continue;
      const T* from = f.slab[s] + (padded - f.rows[s].first) * f.padded_row + f.channels;
      if (first) {
        sum = from;
      } else {
        T* to = line;
        for (std::int64_t i = 0; i < count; ++i) to[i] = sum[i] + from[i];
        sum = line;
      }
      first = false;
    }
    T* to = f.grad + r * f.row;
    if (first) std::memset(line, 0, count * sizeof(T));
    if (f.column == 1) {
      for (std::int64_t x = 0; x < f.width; x += 64)
        transpose(sum + x * f.channels, f.channels, to + x, f.channel,
                  f.width - x < 64 ? f.width - x : 64, f.channels, false);
    } else {
      for (std::int64_t x = 0; x < f.width; ++x)
        std::memcpy(to + x * f.column, sum + x * f.channels, f.channels * sizeof(T));
    }
  }
}

template <class T, class Arch>
constexpr DeformKernels<T> deform_kernels() {
  return {&deform_pad<T, Arch>, &deform_forward<T, Arch>, &deform_rows<T, Arch>,
          &deform_backward<T, Arch>, &deform_gather<T, Arch>};
}

template <class Arch>
constexpr DeformConvTable deform_conv_table() {
  return {deform_kernels<float, Arch>(), deform_kernels<double, Arch>()};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
