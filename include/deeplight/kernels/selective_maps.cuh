// CUDA kernels of the large selective kernel between its convolutions.
//
// Two branches [B, D, P] of P pixels. Maps [B, 2, P]: mean and maximum over the channels of both.
// Gates [B, 2, P], before bias and sigmoid; mixed = gate 0 * first + gate 1 * second. One thread to
// a pixel, channels in order: what PyTorch does in six passes with four images in between takes
// two.
#pragma once

#include <cmath>
#include <cstdint>

#include "deeplight/kernels/cuda_block.cuh"

namespace deeplight::kernels {

template <class T>
static __global__ void selective_maps_kernel(std::int64_t batch, std::int64_t channels,
                                             std::int64_t pixels, const T* first, const T* second,
                                             T* maps) {
  using Sum = Wide<T>;
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < batch * pixels;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    const std::int64_t sample = i / pixels, pixel = i % pixels;
    Sum sum = 0, most = Sum(first[sample * channels * pixels + pixel]);
    for (int branch = 0; branch < 2; ++branch) {
      const T* from = (branch == 0 ? first : second) + sample * channels * pixels + pixel;
      for (std::int64_t c = 0; c < channels; ++c) {
        const Sum value = Sum(from[c * pixels]);
        sum += value;
        if (value > most || value != value) most = value;  // NaN stays
      }
    }
    maps[sample * 2 * pixels + pixel] = T(sum / Sum(2 * channels));
    maps[(sample * 2 + 1) * pixels + pixel] = T(most);
  }
}

template <class T>
static __global__ void selective_mix_kernel(std::int64_t batch, std::int64_t channels,
                                            std::int64_t pixels, const T* first, const T* second,
                                            const T* gates, const T* bias, T* mixed) {
  using Sum = Wide<T>;
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < batch * pixels;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    const std::int64_t sample = i / pixels, pixel = i % pixels;
    Sum gate[2];
    DEEPLIGHT_UNROLL
    for (int k = 0; k < 2; ++k) {
      const Sum signal = Sum(gates[(sample * 2 + k) * pixels + pixel]) + Sum(bias[k]);
      gate[k] = Sum(1) / (Sum(1) + std::exp(-signal));
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t at = (sample * channels + c) * pixels + pixel;
      mixed[at] = T(gate[0] * Sum(first[at]) + gate[1] * Sum(second[at]));
    }
  }
}

}  // namespace deeplight::kernels
