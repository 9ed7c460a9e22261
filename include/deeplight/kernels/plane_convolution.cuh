// CUDA kernels of small convolutions of planes: depthwise, and with a kernel per sample.
//
// An item has `inputs` planes and `outputs` planes and a kernel [outputs, inputs, kh, kw]. Images
// [items, inputs, H, W], results [items, outputs, OH, OW]. A depthwise convolution is B*C items of
// one plane each and C kernels; a dynamic one is B items and B kernels.
//
// A block computes a tile of 64 columns. Its rows are cut into strips whose rows lie one dilation
// apart, `plane_rows` to a thread: a pixel of the tile, read once from shared memory, meets all of
// them with as many rows of the kernel. Sums are in float32 (float64 for float64), in one order.
#pragma once

#include <cstdint>

#include "deeplight/kernels/cuda_block.cuh"
#include "deeplight/kernels/plane_sizes.hpp"

namespace deeplight::kernels {

/// Blocks of (64, strips) threads; `together` results share what is read. Bias [kernels] or null.
template <class T, int together>
static __global__ void __launch_bounds__(512, 1)
    plane_convolution_kernel(PlaneConvolution g, const T* image, const T* weight, const T* bias,
                             T* out) {
  using Sum = Wide<T>;
  const int width = g.tile_width(), height = g.tile_height(), taps = g.taps();
  const int x = int(threadIdx.x), strip = int(threadIdx.y), strips = int(blockDim.y);
  Sum* tile = block_memory_of<Sum>();
  Sum* kernel = tile + height * width;  // [together, kw, kh]
  const int first_row = strip / g.dilation_h * plane_rows * g.dilation_h + strip % g.dilation_h;
  const std::int64_t down = (g.out_height + strips * plane_rows - 1) / (strips * plane_rows);
  const std::int64_t across = (g.out_width + plane_columns - 1) / plane_columns;
  const std::int64_t chunks = (g.outputs + together - 1) / together;
  const std::int64_t all = g.tiles(together);
  for (std::int64_t number = blockIdx.x; number < all; number += gridDim.x) {
    std::int64_t item = number;
    const std::int64_t x0 = take(item, across) * plane_columns;
    const std::int64_t y0 = take(item, down) * strips * plane_rows;
    const int first_output = int(take(item, chunks)) * together;
    const std::int64_t own = item % g.kernels;
    Sum sum[together][plane_rows];
    DEEPLIGHT_UNROLL
    for (int o = 0; o < together; ++o) DEEPLIGHT_UNROLL
    for (int j = 0; j < plane_rows; ++j) sum[o][j] = Sum(0);
    for (int i = 0; i < g.inputs; ++i) {
      __syncthreads();
      const T* plane = image + (item * g.inputs + i) * g.height * g.width;
      for (int r = strip; r < height; r += strips) {
        const std::int64_t from_y = y0 + r - g.pad_h;
        const bool row = from_y >= 0 && from_y < g.height;
        for (int c = x; c < width; c += plane_columns) {
          const std::int64_t from_x = x0 + c - g.pad_w;
          tile[r * width + c] = row && from_x >= 0 && from_x < g.width
                                    ? Sum(plane[from_y * g.width + from_x])
                                    : Sum(0);
        }
      }
      for (int k = strip * plane_columns + x; k < together * taps; k += strips * plane_columns) {
        const int o = first_output + k / taps, t = k % taps;
        std::int64_t at = ((own * g.outputs + o) * g.inputs + i) * taps + t;
        if (g.turned) at = ((own * g.inputs + i) * g.outputs + o) * taps + (taps - 1 - t);
        kernel[(k / taps * g.kernel_w + t % g.kernel_w) * g.kernel_h + t / g.kernel_w] =
            o < g.outputs ? Sum(weight[at]) : Sum(0);
      }
      __syncthreads();
      const int step = g.dilation_h * width;
      for (int tx = 0; tx < g.kernel_w; ++tx) {
        const Sum* column = tile + first_row * width + x + tx * g.dilation_w;
        Sum window[plane_rows];  // a ring: tap t meets rows t, t + 1, ...
        DEEPLIGHT_UNROLL
        for (int j = 0; j < plane_rows; ++j) window[j] = column[j * step];
        for (int first_tap = 0; first_tap < g.kernel_h; first_tap += plane_rows) {
          DEEPLIGHT_UNROLL
          for (int u = 0; u < plane_rows; ++u) {
            const int t = first_tap + u;
            if (t < g.kernel_h) {
              DEEPLIGHT_UNROLL
              for (int o = 0; o < together; ++o) {
                const Sum factor = kernel[(o * g.kernel_w + tx) * g.kernel_h + t];
                DEEPLIGHT_UNROLL
                for (int j = 0; j < plane_rows; ++j)
                  sum[o][j] += factor * window[(j + u) % plane_rows];
              }
              if (t + 1 < g.kernel_h) window[u] = column[(t + plane_rows) * step];
            }
          }
        }
      }
    }
    if (x0 + x >= g.out_width) continue;
    DEEPLIGHT_UNROLL
    for (int o = 0; o < together; ++o) {
      if (first_output + o >= g.outputs) break;
      T* plane = out + (item * g.outputs + first_output + o) * g.out_height * g.out_width;
      const Sum shift = bias ? Sum(bias[own]) : Sum(0);
      DEEPLIGHT_UNROLL
      for (int j = 0; j < plane_rows; ++j) {
        const std::int64_t y = y0 + first_row + j * g.dilation_h;
        if (y < g.out_height) plane[y * g.out_width + x0 + x] = T(sum[o][j] + shift);
      }
    }
  }
}

}  // namespace deeplight::kernels
