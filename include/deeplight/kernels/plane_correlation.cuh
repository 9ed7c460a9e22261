// CUDA kernel of the gradient for the kernels of a plane_convolution.cuh: correlations of planes.
//
// A pair is one plane of gradients and one of images; its result is [kh, kw], summed over `batch`
// items. A block takes every `parts`-th tile of a pair. Its threads share the kernel's taps, eight
// neighbours of a row to a thread, and the rows of the tile; their sums are added in order, and
// those of the parts by `fold_kernel`, so that no bit depends on what ran when.
#pragma once

#include <cstdint>

#include "deeplight/kernels/cuda_block.cuh"
#include "deeplight/kernels/plane_sizes.hpp"

namespace deeplight::kernels {

/// Partial results [pairs, parts, kh*kw]; blocks of threads() threads, one for each pair and part.
template <class T>
static __global__ void __launch_bounds__(512)
    plane_correlation_kernel(PlaneCorrelation g, const T* image, const T* grad, Wide<T>* partial) {
  using Sum = Wide<T>;
  const int thread = int(threadIdx.x), threads = int(blockDim.x), slices = g.slices();
  const int image_pitch = g.image_pitch(), grad_pitch = g.grad_pitch(), rows = g.tile_rows;
  const int image_rows = g.image_rows(), sharing = g.sharing(), runs = g.runs();
  Sum* grads = block_memory_of<Sum>();
  Sum* pixels = grads + rows * grad_pitch;
  const std::int64_t down = (g.out_height + rows - 1) / rows;
  const std::int64_t across = (g.out_width + correlation_columns - 1) / correlation_columns;
  const std::int64_t pair = blockIdx.x / g.parts, part = blockIdx.x % g.parts;
  std::int64_t group = pair;
  const std::int64_t input = take(group, g.inputs), output = take(group, g.outputs);
  const int place = thread / slices, slice = thread % slices;
  const int tap_row = place / runs, first_tap = place % runs * correlation_taps;
  Sum sum[correlation_taps];
  DEEPLIGHT_UNROLL
  for (int j = 0; j < correlation_taps; ++j) sum[j] = Sum(0);
  for (std::int64_t number = part; number < g.tiles(); number += g.parts) {
    std::int64_t sample = number;
    const std::int64_t x0 = take(sample, across) * correlation_columns;
    const std::int64_t y0 = take(sample, down) * rows;
    const T* above =
        grad + ((sample * g.groups + group) * g.outputs + output) * g.out_height * g.out_width;
    const T* plane = image + ((sample * g.groups + group) * g.inputs + input) * g.height * g.width;
    __syncthreads();
    for (int i = thread; i < rows * correlation_columns; i += threads) {
      const int r = i / correlation_columns, c = i % correlation_columns;
      const bool inside = y0 + r < g.out_height && x0 + c < g.out_width;
      grads[r * grad_pitch + c] = inside ? Sum(above[(y0 + r) * g.out_width + x0 + c]) : Sum(0);
    }
    for (int i = thread; i < image_rows * image_pitch; i += threads) {
      const std::int64_t y = y0 + i / image_pitch - g.pad_h, x = x0 + i % image_pitch - g.pad_w;
      const bool inside = y >= 0 && y < g.height && x >= 0 && x < g.width;
      pixels[i] = inside ? Sum(plane[y * g.width + x]) : Sum(0);
    }
    __syncthreads();
    if (place >= sharing) continue;
    for (int line = slice; line < rows * g.dilation_w; line += slices) {
      const int y = line % rows, phase = line / rows, step = g.dilation_w;
      const Sum* from_grad = grads + y * grad_pitch;
      const Sum* from = pixels + (y + tap_row * g.dilation_h) * image_pitch + first_tap * step;
      Sum window[correlation_taps];  // a ring: the n-th pixel of the line meets n, n + 1, ...
      DEEPLIGHT_UNROLL
      for (int j = 0; j < correlation_taps; ++j)
        window[j] = phase < correlation_columns ? from[phase + j * step] : Sum(0);
      for (int x = phase; x < correlation_columns; x += correlation_taps * step) {
        DEEPLIGHT_UNROLL
        for (int u = 0; u < correlation_taps; ++u) {
          const int at = x + u * step;
          if (at < correlation_columns) {
            const Sum value = from_grad[at];
            DEEPLIGHT_UNROLL
            for (int j = 0; j < correlation_taps; ++j)
              sum[j] += value * window[(j + u) % correlation_taps];
            if (at + step < correlation_columns) window[u] = from[at + correlation_taps * step];
          }
        }
      }
    }
  }
  __syncthreads();
  Sum* sums = block_memory_of<Sum>();  // [taps of all threads, slices]
  if (place < sharing) {
    DEEPLIGHT_UNROLL
    for (int j = 0; j < correlation_taps; ++j)
      sums[(place * correlation_taps + j) * slices + slice] = sum[j];
  }
  __syncthreads();
  for (int t = thread; t < g.taps(); t += threads) {
    const int row = t / g.kernel_w, column = t % g.kernel_w;
    const Sum* from = sums + (row * runs * correlation_taps + column) * slices;
    Sum total = Sum(0);
    for (int s = 0; s < slices; ++s) total += from[s];
    partial[(pair * g.parts + part) * g.taps() + t] = total;
  }
}

}  // namespace deeplight::kernels
