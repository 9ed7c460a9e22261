// CUDA kernel of deformable convolution, forward, without columns in global memory.
//
// A block computes 64 positions and 64 outputs of a group. Per tap it plans where the positions
// sample, once for all channels of an offset group; per 32 channels it samples columns [32, 64]
// and copies weights [64, 32] to shared memory and multiplies them: on tensor cores (float as TF32,
// half, bfloat16), or in float32 and float64 by plain multiply-adds, 4 x 4 sums to a thread.
//
//   offset, mask --> plan [64]: four neighbours, four weights      once per tap and offset group
//   plan, image  --> columns [32, 64], shared memory               neighbouring lanes: positions
//   weights [64, 32] x columns --> sums [64, 64], registers --> + bias --> result
//
// Sums of half types are float32, columns are rounded to the type once. 21 to 42 KB of shared
// memory.
#pragma once

#include <cstdint>

#include "deeplight/kernels/deform_conv.cuh"

namespace deeplight::kernels {

/// What a block holds; rows are a little longer, so that columns fall into different banks.
template <class T>
struct alignas(32) DeformFusedMemory {
  static constexpr int weight_row = fused_depth + 8, column_row = fused_positions + 8;
  struct Operands {
    T weights[fused_outputs * weight_row];
    T columns[fused_depth * column_row];
  };
  union alignas(32) {
    Operands operands;
    Wide<T> sums[fused_outputs * column_row];
  };
  std::int64_t index[4][fused_positions];
  Wide<T> weight[4][fused_positions];  // mask included
};

/// Images [B, C, H, W], offset and mask as in deform_conv.cuh, for each sample; weights [groups, K,
/// outputs, depth], bias [groups * outputs] or null, out [B, groups * outputs, OH*OW]. Blocks of
/// 256 threads with sizeof(DeformFusedMemory<T>) of shared memory.
template <class T, bool tensor_cores>
static __global__ void __launch_bounds__(product_threads)
    deform_fused_kernel(DeformGeometry g, DeformFusion f, const T* image, const T* offset,
                        const T* mask, const T* weight, const T* bias, T* out) {
  using Sum = Wide<T>;
  using Memory = DeformFusedMemory<T>;
  Memory& memory = *block_memory_of<Memory>();
  T* weights = memory.operands.weights;
  T* columns = memory.operands.columns;
  const int thread = int(threadIdx.x), warp = thread / 32;
  const int p = thread % fused_positions, first_row = thread / fused_positions;
  constexpr int rows_at_once = product_threads / fused_positions;
  BlockProduct<T, tensor_cores, fused_outputs> product;
  constexpr int step = decltype(product)::step;
  const std::int64_t taps = g.taps(), positions = g.positions(), plane = g.height * g.width;
  const std::int64_t per_offset = g.channels_per_group(), blocks = f.forward_blocks(g);
  for (std::int64_t number = blockIdx.x; number < blocks; number += gridDim.x) {
    std::int64_t sample = number;
    const std::int64_t begin = take(sample, f.tiles(g)) * fused_positions;
    const std::int64_t first_output = take(sample, f.output_chunks()) * fused_outputs;
    const std::int64_t group = take(sample, f.groups);
    const T* pixels = image + (sample * g.channels + group * f.depth) * plane;
    const T* moves = offset + sample * 2 * g.offset_groups * taps * positions;
    const T* scales = mask ? mask + sample * g.offset_groups * taps * positions : nullptr;
    product.clear();
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      std::int64_t planned = -1;
      for (std::int64_t c = 0, used = 0; c < f.depth; c += used) {
        const std::int64_t offset_group = (group * f.depth + c) / per_offset;
        used = (offset_group + 1) * per_offset - group * f.depth - c;
        used = used < f.depth - c ? used : f.depth - c;
        used = used < fused_depth ? used : fused_depth;
        __syncthreads();
        if (planned != offset_group) {
          planned = offset_group;
          if (thread < fused_positions && begin + thread < positions) {
            const std::int64_t slot = offset_group * taps + tap, at = begin + thread;
            const auto point = point_of(g, moves, slot, at);
            const Sum scale = scales ? Sum(scales[slot * positions + at]) : Sum(1);
            DEEPLIGHT_UNROLL
            for (int k = 0; k < 4; ++k) {
              memory.index[k][thread] = point.has(k) ? point.index(k, g.width) : -1;
              memory.weight[k][thread] = scale * point.weight(k);
            }
          }
          __syncthreads();
        }
        const int held = (int(used) + step - 1) / step * step;
        std::int64_t at[4];
        Sum share[4];
        DEEPLIGHT_UNROLL
        for (int corner = 0; corner < 4; ++corner) {
          at[corner] = begin + p < positions ? memory.index[corner][p] : -1;
          share[corner] = memory.weight[corner][p];
        }
        for (int k = first_row; k < held; k += rows_at_once) {
          Sum value = 0;
          if (k < used) {
            const T* from = pixels + (c + k) * plane;
            DEEPLIGHT_UNROLL
            for (int corner = 0; corner < 4; ++corner)
              if (at[corner] >= 0) value += share[corner] * Sum(from[at[corner]]);
          }
          columns[k * Memory::column_row + p] = T(value);
        }
        const T* own = weight + (group * taps + tap) * f.outputs * f.depth + c;
        for (int o = warp; o < fused_outputs; o += product_threads / 32) {
          const int k = thread % 32;
          const bool real = k < used && first_output + o < f.outputs;
          weights[o * Memory::weight_row + k] = real ? own[(first_output + o) * f.depth + k] : T(0);
        }
        __syncthreads();
        product.add(weights, Memory::weight_row, columns, Memory::column_row, held);
      }
    }
    __syncthreads();
    product.store(memory.sums, Memory::column_row);
    __syncthreads();
    for (int o = first_row; o < fused_outputs; o += rows_at_once) {
      if (first_output + o >= f.outputs || begin + p >= positions) continue;
      const std::int64_t channel = group * f.outputs + first_output + o;
      const Sum shift = bias ? Sum(bias[channel]) : Sum(0);
      out[(sample * f.groups * f.outputs + channel) * positions + begin + p] =
          T(memory.sums[o * Memory::column_row + p] + shift);
    }
  }
}

}  // namespace deeplight::kernels
