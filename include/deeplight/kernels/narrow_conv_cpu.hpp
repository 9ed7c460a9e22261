// 3x3 convolution to few channels, on raw pointers, without torch: stride 1, padding 1,
// channels-last maps [B, H, W, C].
//
// With one output per pixel a convolution has nothing to fill its vectors with but its taps: each
// row of pixels is multiplied with the weights of all nine taps at once, [W, C] x [C, 9 out], and
// an output adds up nine of these sums, one from each of its neighbours. Every pixel is read once.
//
//   row y-1   s0 s1 s2 . . . . . .      s: the sums of a pixel, one per tap;
//   row y     . . . s3 s4 s5 . . .      three rows of them are kept, in the second cache
//   row y+1   . . . . . . s6 s7 s8
#pragma once

#include <cstdint>

#include "deeplight/core/parallel.hpp"
#include "deeplight/kernels/conv3x3_geometry.hpp"
#include "deeplight/kernels/gemm_cpu.hpp"
#include "deeplight/kernels/workspace.hpp"

namespace deeplight::kernels {
inline namespace DEEPLIGHT_SIMD_TAG {
namespace narrow_detail {

/// weight [out, in, 3, 3] -> [in][9 * out, tap by tap, then zeros up to `pitch`].
inline void by_channel(const Conv3x3Geometry& g, const float* weight, std::int64_t pitch,
                       float* taps) {
  for (std::int64_t i = 0; i < g.in * pitch; ++i) taps[i] = 0;
  for (std::int64_t o = 0; o < g.out; ++o)
    for (std::int64_t c = 0; c < g.in; ++c)
      for (std::int64_t t = 0; t < 9; ++t)
        taps[c * pitch + t * g.out + o] = weight[(o * g.in + c) * 9 + t];
}

/// One row of outputs from the sums of the three rows around it; a row outside is null.
inline void add_up(const Conv3x3Geometry& g, const float* const* rows, std::int64_t pitch,
                   const float* bias, float* out) {
  for (std::int64_t x = 0; x < g.width; ++x)
    for (std::int64_t o = 0; o < g.out; ++o) {
      float sum = bias[o];
      for (std::int64_t t = 0; t < 9; ++t) {
        const std::int64_t column = x + t % 3 - 1;
        if (rows[t / 3] == nullptr || column < 0 || column >= g.width) continue;
        sum += rows[t / 3][column * pitch + t * g.out + o];
      }
      out[x * g.out + o] = sum < 0 ? g.slope * sum : sum;
    }
}

template <class Arch>
void forward(const Conv3x3Geometry& g, const float* image, const float* weight, const float* bias,
             float* out, const ParallelFor& parallel) {
  constexpr std::int64_t strip = 16;  // rows of outputs; the two around it are computed twice
  const std::int64_t pitch = padded_columns<float, Arch>(9 * g.out);
  const std::int64_t strips = (g.height + strip - 1) / strip, row = g.width * pitch;
  Workspace<float> weight_space;
  float* const taps = weight_space.of(g.in * pitch);
  by_channel(g, weight, pitch, taps);
  parallel(0, g.batch * strips, [&](std::int64_t begin, std::int64_t end) {
    Workspace<float> space;
    float* const sums = space.of(3 * row);
    for (std::int64_t item = begin; item < end; ++item) {
      const float* const sample = image + item / strips * g.height * g.width * g.in;
      float* const result = out + item / strips * g.height * g.width * g.out;
      const std::int64_t top = item % strips * strip;
      const std::int64_t bottom = top + strip < g.height ? top + strip : g.height;
      const auto kept = [&](std::int64_t y) {
        return y < 0 || y >= g.height ? nullptr : sums + y % 3 * row;
      };
      for (std::int64_t y = top - 1; y <= bottom; ++y) {
        if (float* const target = kept(y); target != nullptr) {
          for (std::int64_t i = 0; i < row; ++i) target[i] = 0;
          gemm_accumulate<float, Arch>({.rows = g.width,
                                        .columns = 9 * g.out,
                                        .depth = g.in,
                                        .a = sample + y * g.width * g.in,
                                        .a_row = g.in,
                                        .a_depth = 1,
                                        .b = taps,
                                        .b_depth = pitch,
                                        .c = target,
                                        .c_row = pitch});
        }
        if (y <= top) continue;
        const float* const rows[3] = {kept(y - 2), kept(y - 1), kept(y)};
        add_up(g, rows, pitch, bias, result + (y - 1) * g.width * g.out);
      }
    }
  });
}

}  // namespace narrow_detail
}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
