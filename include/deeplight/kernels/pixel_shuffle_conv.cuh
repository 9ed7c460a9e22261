// CUDA kernel of a 1x1 convolution whose results go straight to where PixelShuffle puts them.
//
//   out[b, o, rh y + i, rw x + j] = tail(sum over c of weight[c, o, i, j] input[b, c, y, x])
//
// A block has 64 pixels and up to 64 of the results (o, i, j) of a pixel. Per 64 channels (32 in
// float64) it copies inputs and weights to shared memory and multiplies them (block_product.cuh);
// then the tile is stored along rows of the shuffled image, so that neighbouring threads write
// neighbouring pixels:
//
//   planes         weights [results (o, i, j), I] x inputs [I, pixels]    threads along (x, j)
//   channels last  inputs [pixels, I] x weights [I, results (i, j, o)]    threads along (j, o)
//
// The image of r r O channels, which is otherwise written, shuffled and read again, never exists.
#pragma once

#include <cstdint>

#include "deeplight/kernels/block_product.cuh"
#include "deeplight/kernels/pixel_shuffle_sizes.hpp"

namespace deeplight::kernels {

template <class T>
struct alignas(32) PixelShuffleMemory {
  static constexpr int depth = sizeof(T) == 8 ? 32 : 64;
  static constexpr int left_row = depth + row_pad<T>, right_row = product_columns + 8;
  static constexpr int sum_row = product_columns + 4;
  struct Operands {
    T left[64 * left_row];
    T right[depth * right_row];
  };
  union alignas(32) {
    Operands operands;
    Wide<T> sums[64 * sum_row];
  };
};

/// Image, residual and results lie as `s` says, without gaps. Weights [O, rh, rw, I], channels last
/// [I, rh, rw, O]; bias [rh * rw, O], slope [O] of PReLU, residual, kept (the sums before PReLU):
/// or null.
template <class T, bool tensor_cores>
static __global__ void __launch_bounds__(product_threads, 2)
    pixel_shuffle_conv_kernel(PixelShuffle s, const T* image, const T* weight, const T* bias,
                              const T* slope, const T* residual, T* kept, T* out) {
  using Sum = Wide<T>;
  using Memory = PixelShuffleMemory<T>;
  constexpr int depth = Memory::depth;
  Memory& memory = *block_memory_of<Memory>();
  T* left = memory.operands.left;
  T* right = memory.operands.right;
  BlockProduct<T, tensor_cores, 64> product;
  constexpr int step = decltype(product)::step;
  const int thread = int(threadIdx.x), tile = s.tile();
  const std::int64_t pixels = s.pixels(), results = s.results(), blocks = s.blocks();
  for (std::int64_t number = blockIdx.x; number < blocks; number += gridDim.x) {
    std::int64_t sample = number;
    const std::int64_t first_result = take(sample, s.tiles()) * tile;
    const std::int64_t first_pixel = take(sample, (pixels + 63) / 64) * 64;
    const int own = results - first_result < tile ? int(results - first_result) : tile;
    const int here = pixels - first_pixel < 64 ? int(pixels - first_pixel) : 64;
    const T* from = image + sample * s.inputs * pixels;
    product.clear();
    for (std::int64_t c = 0; c < s.inputs; c += depth) {
      const int used = s.inputs - c < depth ? int(s.inputs - c) : depth;
      const int filled = (used + step - 1) / step * step;
      // Rows of pixels [p][c] or of results [q][c], columns of the others [c][.].
      const int rows = s.channels_last ? here : own, columns = s.channels_last ? own : here;
      const T* by_row = s.channels_last ? from + first_pixel * s.inputs + c
                                        : weight + first_result * s.inputs + c;
      const T* by_column =
          s.channels_last ? weight + c * results + first_result : from + c * pixels + first_pixel;
      const std::int64_t pitch = s.channels_last ? results : pixels;
      __syncthreads();
      for (int i = thread; i < rows * depth; i += product_threads) {
        const int k = i % depth;
        left[i / depth * Memory::left_row + k] = k < used ? by_row[i / depth * s.inputs + k] : T(0);
      }
      for (int i = thread; i < filled * 64; i += product_threads) {
        const int k = i / 64, column = i % 64;
        right[k * Memory::right_row + column] =
            k < used && column < columns ? by_column[k * pitch + column] : T(0);
      }
      __syncthreads();
      product.add(left, Memory::left_row, right, Memory::right_row, filled);
    }
    __syncthreads();
    product.store(memory.sums, Memory::sum_row);
    __syncthreads();
    for (int i = thread; i < own * here; i += product_threads) {
      int p, q;
      if (s.channels_last) {
        p = i / own, q = i % own;
      } else {
        const int run = s.rw > 64 ? 1 : int(s.rw);  // neighbours: (pixel, column within it)
        p = i % (here * run) / run, q = i / (here * run) * run + i % run;
      }
      const Sum product_sum = s.channels_last ? memory.sums[p * Memory::sum_row + q]
                                              : memory.sums[q * Memory::sum_row + p];
      std::int64_t channel = first_result + q, row = 0, column = 0;
      if (s.channels_last) {
        row = channel, channel = take(row, s.outputs), column = take(row, s.rw);
      } else {
        column = take(channel, s.rw), row = take(channel, s.rh);
      }
      const Sum sum =
          product_sum + (bias ? Sum(bias[(row * s.rw + column) * s.outputs + channel]) : Sum(0));
      std::int64_t y = first_pixel + p;
      const std::int64_t x = take(y, s.width) * s.rw + column;
      y = y * s.rh + row;
      const std::int64_t wide = s.width * s.rw, high = s.height * s.rh;
      const std::int64_t to = s.channels_last
                                  ? ((sample * high + y) * wide + x) * s.outputs + channel
                                  : ((sample * s.outputs + channel) * high + y) * wide + x;
      if (kept) kept[to] = T(sum);
      Sum value = slope && !(sum > 0) ? sum * Sum(slope[channel]) : sum;
      if (residual) value += Sum(s.alpha) * Sum(residual[to]);
      out[to] = T(value);
    }
  }
}

}  // namespace deeplight::kernels
