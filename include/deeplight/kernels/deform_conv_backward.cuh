// CUDA kernels of deformable convolution, backward, without columns in global memory.
//
// deform_backward_kernel: a block has 64 positions of an offset group and a share of the taps. Per
// tap and 64 channels (32 in float64) it multiplies weights [channels, outputs] with gradients
// [outputs, 64], which is the gradient of the columns, in shared memory; the threads of a position
// sample its four neighbours again, scatter to them, and keep the sums over the channels that are
// the gradients of offset and mask.
//
//   weights^T [64, O] x gradients [O, 64] --> shared memory [64, 64]       one tap, 64 positions
//   each of it   --> four neighbours of the image's gradient               atomics
//                --> times the image: sums for dy, dx, mask, registers     over the channels
//
// What is scattered are numbers, whose order is left to chance, or, where bits must repeat, whole
// numbers of fixed_point.cuh. Half types are scattered in float32. Both of the latter need memory
// of their own, which callers give for some samples or channels at a time.
//
// deform_weight_kernel: a block has 64 outputs and 64 channels of a tap and every `parts`-th tile
// of 64 positions (32 in float64): columns are sampled into shared memory and multiplied with the
// gradients; the sums of the parts are added in order by `fold_kernel`.
#pragma once

#include <cstdint>

#include "deeplight/kernels/deform_conv.cuh"
#include "deeplight/kernels/fixed_point.cuh"

namespace deeplight::kernels {

template <class T>
struct alignas(32) DeformBackwardMemory {
  static constexpr int channels = sizeof(T) == 8 ? 32 : 64, depth = channels;
  static constexpr int weight_row = depth + row_pad<T>, grad_row = fused_positions + 8;
  static constexpr int sum_row = fused_positions + 4;
  union alignas(32) {
    T weights[channels * weight_row];
    Wide<T> sums[channels * sum_row];
  };
  T grads[depth * grad_row];
  Wide<T> parts[3][product_threads / fused_positions][fused_positions];
};

/// The k of the fixed point for what one position and tap can scatter; exponents: the largest of
/// gradients, weights and masks.
template <class Sum>
DEEPLIGHT_HOST_DEVICE int deform_fixed_point(const DeformGeometry& g, const DeformFusion& f,
                                             const int* exponents) {
  return fixed_point<Sum>(std::int64_t(exponents[0]) + exponents[1] + exponents[2],
                          f.outputs * g.taps() * g.positions());
}

/// weight [groups, K, depth, outputs], grad [B, groups * outputs, OH*OW]. `scattered` holds the
/// range alone, [samples, channels, H*W], zero at first: Target is Wide<T>, or unsigned long long
/// for whole numbers, of which those that are not finite become NaN of grad_image [B, C, H*W].
/// grad_offset and grad_mask are set, or added to where the range begins within an offset group.
template <class T, bool tensor_cores, class Target>
static __global__ void __launch_bounds__(product_threads)
    deform_backward_kernel(DeformGeometry g, DeformFusion f, DeformRange range, const T* image,
                           const T* offset, const T* mask, const T* weight, const T* grad,
                           const int* exponents, Target* scattered, T* grad_image, T* grad_offset,
                           T* grad_mask) {
  using Sum = Wide<T>;
  using Memory = DeformBackwardMemory<T>;
  constexpr bool whole = !std::is_same_v<Target, Sum>;
  constexpr int together = product_threads / fused_positions;
  Memory& memory = *block_memory_of<Memory>();
  BlockProduct<T, tensor_cores, Memory::channels> product;
  constexpr int step = decltype(product)::step;
  const int thread = int(threadIdx.x), p = thread % fused_positions, own = thread / fused_positions;
  const std::int64_t taps = g.taps(), positions = g.positions(), plane = g.height * g.width;
  const std::int64_t per_offset = g.channels_per_group(), blocks = range.blocks(g, f);
  Sum unit = 1;
  if constexpr (whole) unit = std::ldexp(Sum(1), deform_fixed_point<Sum>(g, f, exponents));
  for (std::int64_t number = blockIdx.x; number < blocks; number += gridDim.x) {
    std::int64_t place = number;
    const std::int64_t at = take(place, f.tiles(g)) * fused_positions + p;
    const std::int64_t share = take(place, range.shares);
    const std::int64_t offset_group = take(place, g.offset_groups);
    const std::int64_t sample = range.first_sample + place;
    const std::int64_t lowest = offset_group * per_offset;
    const std::int64_t first = lowest > range.first_channel ? lowest : range.first_channel;
    const std::int64_t end =
        lowest + per_offset < range.end_channel ? lowest + per_offset : range.end_channel;
    if (first >= end) continue;
    const std::int64_t slots = sample * g.offset_groups * taps;
    const T* moves = offset + 2 * slots * positions;
    std::int64_t held = -1;  // which gradients are in shared memory
    for (std::int64_t tap = share; tap < taps; tap += range.shares) {
      const std::int64_t slot = offset_group * taps + tap;
      DevicePoint<Sum> point;
      Sum scale = 0;
      if (at < positions) {
        point = point_of(g, moves, slot, at);
        scale = mask ? Sum(mask[(slots + slot) * positions + at]) : Sum(1);
      }
      Sum by_y = 0, by_x = 0, by_mask = 0;
      for (std::int64_t c = first, used = 0; c < end; c += used) {
        const std::int64_t group = c / f.depth, within = c - group * f.depth;
        used = end - c < f.depth - within ? end - c : f.depth - within;
        used = used < Memory::channels ? used : Memory::channels;
        product.clear();
        for (std::int64_t o = 0; o < f.outputs; o += Memory::depth) {
          const int left = f.outputs - o < Memory::depth ? int(f.outputs - o) : Memory::depth;
          const int filled = (left + step - 1) / step * step;
          __syncthreads();
          const T* from = weight + ((group * taps + tap) * f.depth + within) * f.outputs + o;
          for (int i = thread; i < int(used) * Memory::depth; i += product_threads) {
            const int row = i / Memory::depth, k = i % Memory::depth;
            memory.weights[row * Memory::weight_row + k] =
                k < left ? from[row * f.outputs + k] : T(0);
          }
          if (held != group * f.outputs + o) {
            const T* above =
                grad + (sample * f.groups * f.outputs + group * f.outputs + o) * positions + at;
            for (int k = own; k < filled; k += together)
              memory.grads[k * Memory::grad_row + p] =
                  k < left && at < positions ? above[k * positions] : T(0);
            held = group * f.outputs + o;
          }
          __syncthreads();
          product.add(memory.weights, Memory::weight_row, memory.grads, Memory::grad_row, filled);
        }
        __syncthreads();
        product.store(memory.sums, Memory::sum_row);
        __syncthreads();
        if (at >= positions) continue;
        const T* pixels = image + (sample * g.channels + c) * plane;
        T* marked = whole ? grad_image + (sample * g.channels + c) * plane : nullptr;
        Target* target = scattered + (place * range.channels() + c - range.first_channel) * plane;
        for (int row = own; row < used; row += together) {
          const Sum above = memory.sums[row * Memory::sum_row + p];
          const std::int64_t from = row * plane;
          Sum pixel[4];
          DEEPLIGHT_UNROLL
          for (int k = 0; k < 4; ++k)
            pixel[k] = point.has(k) ? Sum(pixels[from + point.index(k, g.width)]) : Sum(0);
          const Sum ay = 1 - point.fy, ax = 1 - point.fx;
          by_mask += above * (ay * (ax * pixel[0] + point.fx * pixel[1]) +
                              point.fy * (ax * pixel[2] + point.fx * pixel[3]));
          by_y += above * (ax * (pixel[2] - pixel[0]) + point.fx * (pixel[3] - pixel[1]));
          by_x += above * (ay * (pixel[1] - pixel[0]) + point.fy * (pixel[3] - pixel[2]));
          DEEPLIGHT_UNROLL
          for (int k = 0; k < 4; ++k) {
            if (!point.has(k)) continue;
            const Sum part = above * scale * point.weight(k);
            const std::int64_t to = from + point.index(k, g.width);
            if constexpr (whole) {
              add_fixed(part, unit, target + to, marked + to);
            } else {
              atomicAdd(target + to, part);
            }
          }
        }
      }
      memory.parts[0][own][p] = by_y * scale;
      memory.parts[1][own][p] = by_x * scale;
      memory.parts[2][own][p] = by_mask;
      __syncthreads();
      if (thread >= 3 * fused_positions || at >= positions) continue;
      // The first 64 threads add up dy, the next dx, the next the mask.
      T* out = own < 2 ? grad_offset + (2 * (slots + slot) + own) * positions : nullptr;
      if (own == 2 && grad_mask) out = grad_mask + (slots + slot) * positions;
      if (!out) continue;
      Sum sum = first > lowest ? Sum(out[at]) : Sum(0);
      DEEPLIGHT_UNROLL
      for (int i = 0; i < together; ++i) sum += memory.parts[own][i][p];
      out[at] = T(sum);
    }
  }
}

/// grad_image [B, C, H*W] of the range from whole numbers [samples, channels, H*W].
template <class T>
static __global__ void deform_unscale_kernel(DeformGeometry g, DeformFusion f, DeformRange range,
                                             const int* exponents, const unsigned long long* sums,
                                             T* grad_image) {
  const int scale = deform_fixed_point<Wide<T>>(g, f, exponents);
  const std::int64_t plane = g.height * g.width, sample = range.channels() * plane;
  T* to = grad_image + (range.first_sample * g.channels + range.first_channel) * plane;
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
       i < range.samples * sample; i += std::int64_t(gridDim.x) * blockDim.x)
    set_from_fixed<Wide<T>>(sums[i], scale, to + i / sample * g.channels * plane + i % sample);
}

template <class T>
struct alignas(32) DeformWeightMemory {
  static constexpr int positions = sizeof(T) == 8 ? 32 : 64, tile = 64;
  static constexpr int row = positions + row_pad<T>, sum_row = tile + 4;
  struct Operands {
    T grads[tile * row];
    T columns[tile * row];
  };
  union alignas(32) {
    Operands operands;
    Wide<T> sums[tile * sum_row];
  };
};

/// partial [parts, groups, K, outputs, depth] of the gradients for the weights.
template <class T, bool tensor_cores>
static __global__ void __launch_bounds__(product_threads)
    deform_weight_kernel(DeformGeometry g, DeformFusion f, std::int64_t parts, const T* image,
                         const T* offset, const T* mask, const T* grad, Wide<T>* partial) {
  using Sum = Wide<T>;
  using Memory = DeformWeightMemory<T>;
  constexpr int together = product_threads / Memory::positions;
  Memory& memory = *block_memory_of<Memory>();
  T* grads = memory.operands.grads;
  T* columns = memory.operands.columns;
  BlockProduct<T, tensor_cores, Memory::tile> product;
  const int thread = int(threadIdx.x);
  const int p = thread % Memory::positions, own = thread / Memory::positions;
  const std::int64_t taps = g.taps(), positions = g.positions(), plane = g.height * g.width;
  const std::int64_t per_offset = g.channels_per_group();
  const std::int64_t tiles = (positions + Memory::positions - 1) / Memory::positions;
  const std::int64_t blocks = parts * f.weight_blocks(g);
  for (std::int64_t number = blockIdx.x; number < blocks; number += gridDim.x) {
    std::int64_t group = number;
    const std::int64_t c = take(group, (f.depth + Memory::tile - 1) / Memory::tile) * Memory::tile;
    const std::int64_t o =
        take(group, (f.outputs + Memory::tile - 1) / Memory::tile) * Memory::tile;
    const std::int64_t tap = take(group, taps), part = take(group, parts);
    const int inputs = f.depth - c < Memory::tile ? int(f.depth - c) : Memory::tile;
    const int outputs = f.outputs - o < Memory::tile ? int(f.outputs - o) : Memory::tile;
    product.clear();
    for (std::int64_t tile = part; tile < f.batch * tiles; tile += parts) {
      const std::int64_t sample = tile / tiles, at = tile % tiles * Memory::positions + p;
      const std::int64_t slots = sample * g.offset_groups * taps;
      std::int64_t planned = -1;
      DevicePoint<Sum> point;
      Sum scale = 0;
      __syncthreads();
      for (int row = own; row < inputs; row += together) {
        const std::int64_t channel = group * f.depth + c + row;
        Sum value = 0;
        if (at < positions) {
          if (channel / per_offset != planned) {
            planned = channel / per_offset;
            const std::int64_t slot = planned * taps + tap;
            point = point_of(g, offset + 2 * slots * positions, slot, at);
            scale = mask ? Sum(mask[(slots + slot) * positions + at]) : Sum(1);
          }
          const T* pixels = image + (sample * g.channels + channel) * plane;
          DEEPLIGHT_UNROLL
          for (int k = 0; k < 4; ++k)
            if (point.has(k)) value += point.weight(k) * Sum(pixels[point.index(k, g.width)]);
        }
        columns[row * Memory::row + p] = T(scale * value);
      }
      const T* above =
          grad + (sample * f.groups * f.outputs + group * f.outputs + o) * positions + at;
      for (int row = own; row < outputs; row += together)
        grads[row * Memory::row + p] = at < positions ? above[row * positions] : T(0);
      __syncthreads();
      product.add_transposed(grads, Memory::row, columns, Memory::row, Memory::positions);
    }
    __syncthreads();
    product.store(memory.sums, Memory::sum_row);
    __syncthreads();
    Sum* to = partial + (((part * f.groups + group) * taps + tap) * f.outputs + o) * f.depth + c;
    for (int i = thread; i < outputs * Memory::tile; i += product_threads)
      if (i % Memory::tile < inputs)
        to[i / Memory::tile * f.depth + i % Memory::tile] =
            memory.sums[i / Memory::tile * Memory::sum_row + i % Memory::tile];
    __syncthreads();
  }
}

}  // namespace deeplight::kernels
