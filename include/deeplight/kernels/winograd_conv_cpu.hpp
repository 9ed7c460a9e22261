// 3x3 convolution in a fourth of the multiplications, on raw pointers, without torch: stride 1,
// padding 1, channels-last maps [B, H, W, C] whose channels are multiples of 16.
//
// F(4x4, 3x3) of Lavin and Gray 2016 (arXiv 1509.09308): each 4 x 4 outputs come from 36 products
// per pair of channels, where the definition takes 144. Their points 0, +-1, +-2 and infinity lose
// half a digit; with 0, +-5/8, +-3/2 the error on 160 channels is 1.7 times that of adding up in
// order. An output depends on its own 3 x 3 inputs, and by rounding alone on the other pixels of
// the 6 x 6 that its tile reads; a NaN fills its tile.
//
// An item of work is a block of tiles: transformed inputs [36][tiles][in] in a core's second cache,
// their products with the transformed weights by panels of outputs, and each panel's outputs. Every
// sum over channels is taken in order: no result depends on the number of threads.
#pragma once

#include <cstdint>

#include "deeplight/core/parallel.hpp"
#include "deeplight/kernels/conv3x3_geometry.hpp"
#include "deeplight/kernels/workspace.hpp"

namespace deeplight::kernels {

inline namespace DEEPLIGHT_SIMD_TAG {
namespace winograd_detail {

inline constexpr float a = 0.625F, b = 1.5F;  // the points, beside 0 and infinity
inline constexpr float a2 = a * a, b2 = b * b;
inline constexpr std::int64_t group = 6;  // tiles that meet each loaded weight

template <class Arch>
inline constexpr int panel_packs = simd::registers<Arch> >= 32 ? 4 : 2;

/// Six values to six: rows of the transposed B.
template <class Pack>
DEEPLIGHT_ALWAYS_INLINE void input_line(const Pack* d, std::int64_t step, Pack* v) {
  const Pack minus = Pack::all(-a2 - b2), product = Pack::all(a2 * b2);
  const Pack from_a = fma(Pack::all(-b2), d[2 * step], d[4 * step]);
  const Pack odd_a = fma(Pack::all(-b2), d[step], d[3 * step]);
  const Pack from_b = fma(Pack::all(-a2), d[2 * step], d[4 * step]);
  const Pack odd_b = fma(Pack::all(-a2), d[step], d[3 * step]);
  v[0] = fma(product, d[0], fma(minus, d[2 * step], d[4 * step]));
  v[1] = fma(Pack::all(a), odd_a, from_a);
  v[2] = fma(Pack::all(-a), odd_a, from_a);
  v[3] = fma(Pack::all(b), odd_b, from_b);
  v[4] = fma(Pack::all(-b), odd_b, from_b);
  v[5] = fma(product, d[step], fma(minus, d[3 * step], d[5 * step]));
}

/// Six values to four: rows of the transposed A.
template <class Pack>
DEEPLIGHT_ALWAYS_INLINE void output_line(const Pack* m, std::int64_t step, Pack* y) {
  const Pack sum_a = m[step] + m[2 * step], odd_a = m[step] - m[2 * step];
  const Pack sum_b = m[3 * step] + m[4 * step], odd_b = m[3 * step] - m[4 * step];
  y[0] = m[0] + (sum_a + sum_b);
  y[1] = fma(Pack::all(b), odd_b, Pack::all(a) * odd_a);
  y[2] = fma(Pack::all(b2), sum_b, Pack::all(a2) * sum_a);
  y[3] = fma(Pack::all(b * b2), odd_b, fma(Pack::all(a * a2), odd_a, m[5 * step]));
}

/// Three taps to six: rows of G.
template <class Pack>
DEEPLIGHT_ALWAYS_INLINE void weight_line(const Pack* g, std::int64_t step, Pack* u) {
  constexpr float of_a = 1 / (2 * a2 * (a2 - b2)), of_b = 1 / (2 * b2 * (b2 - a2));
  const Pack even_a = fma(Pack::all(a2), g[2 * step], g[0]);
  const Pack even_b = fma(Pack::all(b2), g[2 * step], g[0]);
  u[0] = Pack::all(1 / (a2 * b2)) * g[0];
  u[1] = Pack::all(of_a) * fma(Pack::all(a), g[step], even_a);
  u[2] = Pack::all(of_a) * fma(Pack::all(-a), g[step], even_a);
  u[3] = Pack::all(of_b) * fma(Pack::all(b), g[step], even_b);
  u[4] = Pack::all(of_b) * fma(Pack::all(-b), g[step], even_b);
  u[5] = g[2 * step];
}

/// Where the panel that begins at output `first` lies; a panel is [36][in][its outputs].
inline std::int64_t panel_offset(const Conv3x3Geometry& g, std::int64_t first) {
  return 36 * g.in * first;
}

template <class Arch>
std::int64_t panel_outputs(const Conv3x3Geometry& g, std::int64_t first) {
  constexpr std::int64_t most = panel_packs<Arch> * simd::Pack<float, Arch>::width;
  return g.out - first < most ? g.out - first : most;
}

template <class Arch>
void transform_weight(const Conv3x3Geometry& g, const float* weight, float* transformed,
                      const ParallelFor& parallel) {
  using Pack = simd::Pack<float, Arch>;
  constexpr std::int64_t most = panel_packs<Arch> * Pack::width;
  parallel(0, g.out / Pack::width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * Pack::width, panel = first / most * most;
      const std::int64_t outputs = panel_outputs<Arch>(g, panel);
      float* target = transformed + panel_offset(g, panel) + first - panel;
      for (std::int64_t c = 0; c < g.in; ++c) {
        float taps[9][Pack::width];
        for (std::int64_t lane = 0; lane < Pack::width; ++lane)
          for (std::int64_t t = 0; t < 9; ++t)
            taps[t][lane] = weight[((first + lane) * g.in + c) * 9 + t];
        Pack tap[9], half[18], u[6];
        for (std::int64_t t = 0; t < 9; ++t) tap[t] = Pack::load(taps[t]);
        for (std::int64_t column = 0; column < 3; ++column) {
          weight_line(tap + column, 3, u);
          for (std::int64_t i = 0; i < 6; ++i) half[3 * i + column] = u[i];
        }
        for (std::int64_t i = 0; i < 6; ++i) {
          weight_line(half + 3 * i, 1, u);
          for (std::int64_t j = 0; j < 6; ++j)
            u[j].store(target + ((6 * i + j) * g.in + c) * outputs);
        }
      }
    }
  });
}

/// The tile's top left output, and its sample.
struct Place {
  std::int64_t sample, y, x;
};

inline Place place_of(const Conv3x3Geometry& g, std::int64_t tile) {
  const std::int64_t across = g.across(), down = g.down();
  return {tile / across / down, tile / across % down * 4, tile % across * 4};
}

/// The tile's 6 x 6 inputs transformed: v[36], `pitch` apart.
template <class Arch>
void transform_input(const Conv3x3Geometry& g, const float* image, const float* zeros,
                     std::int64_t tile, float* v, std::int64_t pitch) {
  using Pack = simd::Pack<float, Arch>;
  const Place at = place_of(g, tile);
  const float* pixels[36];
  for (std::int64_t i = 0; i < 6; ++i)
    for (std::int64_t j = 0; j < 6; ++j) {
      const std::int64_t y = at.y + i - 1, x = at.x + j - 1;
      const bool inside = y >= 0 && y < g.height && x >= 0 && x < g.width;
      pixels[6 * i + j] =
          inside ? image + ((at.sample * g.height + y) * g.width + x) * g.in : zeros;
    }
  for (std::int64_t c = 0; c < g.in; c += Pack::width) {
    Pack half[36];
#pragma GCC unroll 6
    for (std::int64_t column = 0; column < 6; ++column) {
      Pack d[6], t[6];
#pragma GCC unroll 6
      for (std::int64_t i = 0; i < 6; ++i) d[i] = Pack::load(pixels[6 * i + column] + c);
      input_line(d, 1, t);
#pragma GCC unroll 6
      for (std::int64_t i = 0; i < 6; ++i) half[6 * i + column] = t[i];
    }
#pragma GCC unroll 6
    for (std::int64_t i = 0; i < 6; ++i) {
      Pack t[6];
      input_line(half + 6 * i, 1, t);
#pragma GCC unroll 6
      for (std::int64_t j = 0; j < 6; ++j) t[j].store(v + (6 * i + j) * pitch + c);
    }
  }
}

/// m[group][packs] = v[group][depth] * u[depth][packs].
template <class Arch, int packs>
DEEPLIGHT_ALWAYS_INLINE void product(const float* DEEPLIGHT_RESTRICT v,
                                     const float* DEEPLIGHT_RESTRICT u, float* DEEPLIGHT_RESTRICT m,
                                     std::int64_t depth) {
  using Pack = simd::Pack<float, Arch>;
  Pack sum[group][packs];
#pragma GCC unroll 6
  for (std::int64_t i = 0; i < group; ++i)
#pragma GCC unroll 4
    for (std::int64_t j = 0; j < packs; ++j) sum[i][j] = Pack::zero();
  for (std::int64_t k = 0; k < depth; ++k) {
    Pack right[packs];
#pragma GCC unroll 4
    for (std::int64_t j = 0; j < packs; ++j)
      right[j] = Pack::load(u + (k * packs + j) * Pack::width);
#pragma GCC unroll 6
    for (std::int64_t i = 0; i < group; ++i) {
      const Pack left = Pack::all(v[i * depth + k]);
#pragma GCC unroll 4
      for (std::int64_t j = 0; j < packs; ++j) sum[i][j] = fma(left, right[j], sum[i][j]);
    }
  }
#pragma GCC unroll 6
  for (std::int64_t i = 0; i < group; ++i)
#pragma GCC unroll 4
    for (std::int64_t j = 0; j < packs; ++j) sum[i][j].store(m + (i * packs + j) * Pack::width);
}

/// All 36 products of a block of `rows` tiles with one panel: m [36][rows][packs].
template <class Arch, int packs>
void products(std::int64_t depth, std::int64_t rows, const float* v, const float* u, float* m) {
  constexpr std::int64_t outputs = packs * simd::Pack<float, Arch>::width;
  for (std::int64_t n = 0; n < 36; ++n)
    for (std::int64_t row = 0; row < rows; row += group)
      product<Arch, packs>(v + (n * rows + row) * depth, u + n * depth * outputs,
                           m + (n * rows + row) * outputs, depth);
}

/// The tile's 4 x 4 outputs of one panel, from m[36], `pitch` apart.
template <class Arch>
void transform_output(const Conv3x3Geometry& g, const float* m, std::int64_t pitch,
                      std::int64_t outputs, const float* bias, std::int64_t tile, float* out) {
  using Pack = simd::Pack<float, Arch>;
  const Place at = place_of(g, tile);
  const std::int64_t rows = g.height - at.y < 4 ? g.height - at.y : 4;
  const std::int64_t columns = g.width - at.x < 4 ? g.width - at.x : 4;
  float* target = out + ((at.sample * g.height + at.y) * g.width + at.x) * g.out;
  const Pack change = Pack::all(g.slope - 1), zero = Pack::zero();
  for (std::int64_t o = 0; o < outputs; o += Pack::width) {
    Pack half[24];
#pragma GCC unroll 6
    for (std::int64_t column = 0; column < 6; ++column) {
      Pack in[6], y[4];
#pragma GCC unroll 6
      for (std::int64_t i = 0; i < 6; ++i) in[i] = Pack::load(m + (6 * i + column) * pitch + o);
      output_line(in, 1, y);
#pragma GCC unroll 4
      for (std::int64_t i = 0; i < 4; ++i) half[6 * i + column] = y[i];
    }
    const Pack shift = Pack::load(bias + o);
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < 4; ++i) {
      Pack y[4];
      output_line(half + 6 * i, 1, y);
#pragma GCC unroll 4
      for (std::int64_t j = 0; j < 4; ++j) {
        const Pack sum = y[j] + shift;
        y[j] = fma(min(sum, zero), change, sum);  // what is no number stays so
        if (i < rows && j < columns) y[j].store(target + (i * g.width + j) * g.out + o);
      }
    }
  }
}

/// Tiles of a block: as many as keep its transformed inputs within half of a second cache.
inline std::int64_t block_tiles(const Conv3x3Geometry& g) {
  const std::int64_t most = (std::int64_t{144} << 10) / (36 * g.in) / group * group;
  return most < group ? group : (most > 48 ? 48 : most);
}

template <class Arch>
void forward(const Conv3x3Geometry& g, const float* image, const float* transformed,
             const float* bias, float* out, const ParallelFor& parallel) {
  using Pack = simd::Pack<float, Arch>;
  constexpr int packs = panel_packs<Arch>;
  const std::int64_t block = block_tiles(g), tiles = g.tiles();
  parallel(0, (tiles + block - 1) / block, [&](std::int64_t begin, std::int64_t end) {
    Workspace<float> space;
    float* const zeros = space.of(g.in + 36 * block * (g.in + packs * Pack::width));
    float *const v = zeros + g.in, *const m = v + 36 * block * g.in;
    for (std::int64_t c = 0; c < g.in; ++c) zeros[c] = 0;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t first = item * block;
      const std::int64_t own = tiles - first < block ? tiles - first : block;
      // The last group's missing tiles are computed from what lies there, and dropped.
      const std::int64_t rows = (own + group - 1) / group * group;
      for (std::int64_t t = 0; t < rows; ++t)
        transform_input<Arch>(g, image, zeros, first + (t < own ? t : own - 1), v + t * g.in,
                              rows * g.in);
      for (std::int64_t panel = 0; panel < g.out;) {
        const std::int64_t outputs = panel_outputs<Arch>(g, panel);
        const float* u = transformed + panel_offset(g, panel);
        const std::int64_t kind = outputs / Pack::width;
        if (kind == packs) {
          products<Arch, packs>(g.in, rows, v, u, m);
        } else if constexpr (packs == 4) {
          if (kind == 3) products<Arch, 3>(g.in, rows, v, u, m);
          if (kind == 2) products<Arch, 2>(g.in, rows, v, u, m);
          if (kind == 1) products<Arch, 1>(g.in, rows, v, u, m);
        }
        for (std::int64_t t = 0; t < own; ++t)
          transform_output<Arch>(g, m + t * outputs, rows * outputs, outputs, bias + panel,
                                 first + t, out + panel);
        panel += outputs;
      }
    }
  });
}

}  // namespace winograd_detail

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
