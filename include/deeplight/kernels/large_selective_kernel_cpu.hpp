// The large selective kernel on raw pointers, without torch: types, table and forward pass.
//
// Contiguous planes [C, H, W]. The forward pass takes tiles of the result through the whole chain
// in a scratch of the size of a core's L2 cache: both depthwise convolutions per channel, the
// squeezes as small matrix products per eight channels, and, when all channels are summed, the
// maps, gates, mixture, expansion and product per row. Nothing of the size of an image is stored.
// Tiles overlap where they read; what lies outside of the image is zero at each stage.
#pragma once

#include <cmath>
#include <cstdint>

#include "deeplight/core/parallel.hpp"
#include "deeplight/kernels/by_type.hpp"
#include "deeplight/kernels/correlation_cpu.hpp"
#include "deeplight/kernels/gemm_cpu.hpp"
#include "deeplight/kernels/workspace.hpp"

namespace deeplight::kernels {

struct SelectiveGeometry {
  std::int64_t batch = 0, channels = 0, branch = 0, out_channels = 0, height = 0, width = 0;
  KernelShape first, second, selection;
  std::int64_t selection_sample = 0;  // from one sample's kernel of selection to the next's; or 0

  std::int64_t area() const { return height * width; }
};

/// The weights of a large selective kernel, or, not constant, their gradients.
template <class T>
struct SelectiveWeights {
  T *first, *first_bias;                    // [C, k, k], [C]
  T *second, *second_bias;                  // [C, k, k], [C]
  T *first_squeeze, *first_squeeze_bias;    // [D, C], [D]
  T *second_squeeze, *second_squeeze_bias;  // [D, C], [D]
  T *selection, *selection_bias;            // [2, 2, k, k] or [B, 2, 2, k, k], [2]
  T *expand, *expand_bias;                  // [E, D], [E]
};

/// The kernels of one instruction set.
template <class T>
struct SelectiveTable {
  void (*forward)(const SelectiveGeometry&, const SelectiveWeights<const T>&, const T* input,
                  const T* multiplier, T* out, const ParallelFor&);
  /// All gradients, overwritten. Allocates two images of one sample, and small things.
  void (*backward)(const SelectiveGeometry&, const SelectiveWeights<const T>&, const T* input,
                   const T* multiplier, const T* grad, T* input_grad, T* multiplier_grad,
                   const SelectiveWeights<T>& weight_grads, const ParallelFor&);
};

using SelectiveTables = ByType<SelectiveTable>;

inline namespace DEEPLIGHT_SIMD_TAG {
namespace selective_detail {

constexpr std::int64_t smaller(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

/// Columns rounded up to whole vectors.
template <class T, class Arch>
constexpr std::int64_t whole(std::int64_t columns) {
  return padded_columns<T, Arch>(columns);
}

/// 1 / (1 + exp(-x)), whole vectors.
template <class T, class Arch>
void to_gates(T* x, std::int64_t count) {
  using Pack = simd::Pack<T, Arch>;
  if constexpr (Pack::width == 1) {
    for (std::int64_t i = 0; i < count; ++i) x[i] = T(1) / (T(1) + std::exp(-x[i]));
  } else {
    using Batch = typename Pack::Batch;
    for (std::int64_t i = 0; i < count; i += Pack::width) {
      const Batch value = Pack::load(x + i).value;
      Pack{Batch(T(1)) / (Batch(T(1)) + xsimd::exp(-value))}.store(x + i);
    }
  }
}

/// Sets to zero what lies outside of the image in a block whose corner is (top, left).
template <class T>
void clear_outside(T* block, std::int64_t pitch, std::int64_t top, std::int64_t left,
                   std::int64_t rows, std::int64_t columns, std::int64_t height,
                   std::int64_t width) {
  const std::int64_t first = left < 0 ? -left : 0;
  const std::int64_t last = smaller(columns, width - left);
  for (std::int64_t r = 0; r < rows; ++r, block += pitch) {
    const bool exists = top + r >= 0 && top + r < height;
    for (std::int64_t x = 0; x < (exists ? first : columns); ++x) block[x] = T(0);
    for (std::int64_t x = exists ? last : columns; x < columns; ++x) block[x] = T(0);
  }
}

/// mean[x], peak[x] over the 2 * D branch values of a pixel; whole vectors.
template <class T, class Arch>
void add_to_maps(const T* branches, std::int64_t step, std::int64_t count, std::int64_t columns,
                 T* mean, T* peak) {
  using Pack = simd::Pack<T, Arch>;
  const Pack share = Pack::all(T(1) / static_cast<T>(count));
  for (std::int64_t x = 0; x < columns; x += Pack::width) {
    Pack sum = Pack::load(branches + x), most = sum;
    for (std::int64_t d = 1; d < count; ++d) {
      const Pack value = Pack::load(branches + d * step + x);
      sum = sum + value;
      most = max(most, value);
    }
    (sum * share).store(mean + x);
    most.store(peak + x);
  }
}

/// rows of c = bias, whole vectors.
template <class T, class Arch>
void fill_rows(T* c, std::int64_t step, const T* bias, std::int64_t rows, std::int64_t columns) {
  using Pack = simd::Pack<T, Arch>;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t x = 0; x < columns; x += Pack::width)
      (bias ? Pack::all(bias[i]) : Pack::zero()).store(c + i * step + x);
}

/// One tile of the result and the sizes of the blocks that it reads.
template <class T, class Arch>
struct Tile {
  static constexpr std::int64_t width = simd::Pack<T, Arch>::width;
  static constexpr std::int64_t most_rows = 32, most_columns = 128, channels = 8;

  const SelectiveGeometry& g;
  std::int64_t sample, top, left, rows, columns;
  std::int64_t select_h = g.selection.reach_h() / 2, select_w = g.selection.reach_w() / 2;
  std::int64_t second_h = g.second.reach_h() / 2, second_w = g.second.reach_w() / 2;
  std::int64_t first_h = g.first.reach_h() / 2, first_w = g.first.reach_w() / 2;
  std::int64_t map_rows = rows + 2 * select_h, map_columns = columns + 2 * select_w;
  std::int64_t map_pitch = map_columns + width;
  std::int64_t branch_pitch = whole<T, Arch>(map_columns) + width;
  std::int64_t branch_plane = map_rows * branch_pitch;
  std::int64_t near_rows = map_rows + 2 * second_h, near_columns = map_columns + 2 * second_w;
  std::int64_t near_pitch = near_columns + 2 * width, near_plane = near_rows * near_pitch;
  std::int64_t far_rows = near_rows + 2 * first_h, far_columns = near_columns + 2 * first_w;
  std::int64_t far_pitch = far_columns + width;
  std::int64_t out_pitch = whole<T, Arch>(columns);
};

template <class T>
struct TileSpace {
  Workspace<T> image, near, second, branches, maps, gates, mixed, result;
};

/// Both branches [2, D] of a tile, grown by the reach of the selection.
template <class T, class Arch>
T* branches_of(const Tile<T, Arch>& t, const SelectiveWeights<const T>& w, const T* input,
               TileSpace<T>& space) {
  const SelectiveGeometry& g = t.g;
  T* branches = space.branches.of(2 * g.branch * t.branch_plane + t.width);
  T* other = branches + g.branch * t.branch_plane;
  fill_rows<T, Arch>(branches, t.branch_plane, w.first_squeeze_bias, g.branch, t.branch_plane);
  fill_rows<T, Arch>(other, t.branch_plane, w.second_squeeze_bias, g.branch, t.branch_plane);
  T* image = space.image.of(t.far_rows * t.far_pitch + t.width);
  T* near = space.near.of(t.channels * t.near_plane + t.width);
  T* second = space.second.of(t.channels * t.branch_plane + t.width);
  for (std::int64_t c0 = 0; c0 < g.channels; c0 += t.channels) {
    const std::int64_t count = smaller(t.channels, g.channels - c0);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t c = c0 + i, near_top = t.top - t.select_h - t.second_h;
      const std::int64_t near_left = t.left - t.select_w - t.second_w;
      copy_padded(input + (t.sample * g.channels + c) * g.area(), g.width, g.height, g.width,
                  near_top - t.first_h, near_left - t.first_w, t.far_rows, t.far_pitch, image,
                  t.far_pitch);
      Correlation<T> step;
      step.kernel = g.first;
      step.source = image, step.source_row = t.far_pitch;
      step.weights = w.first + c * g.first.taps(), step.bias = w.first_bias + c;
      step.target = near + i * t.near_plane, step.target_row = t.near_pitch;
      step.rows = t.near_rows, step.columns = t.near_columns;
      correlate<T, Arch, false>(step);
      // The slack of each row is cleared with it: vectors read beyond the last column.
      clear_outside(step.target, t.near_pitch, near_top, near_left, t.near_rows, t.near_pitch,
                    g.height,
                    near_left + t.near_columns < g.width ? near_left + t.near_columns : g.width);
      step.kernel = g.second;
      step.source = step.target, step.source_row = t.near_pitch;
      step.weights = w.second + c * g.second.taps(), step.bias = w.second_bias + c;
      step.target = second + i * t.branch_plane, step.target_row = t.branch_pitch;
      step.rows = t.map_rows, step.columns = t.map_columns;
      correlate<T, Arch, false>(step);
    }
    for (std::int64_t r = 0; r < t.map_rows; ++r) {
      GemmBlock<T> product;
      product.rows = g.branch, product.columns = t.map_columns, product.depth = count;
      product.a = w.first_squeeze + c0, product.a_row = g.channels;
      product.b = near + (r + t.second_h) * t.near_pitch + t.second_w;
      product.b_depth = t.near_plane;
      product.c = branches + r * t.branch_pitch, product.c_row = t.branch_plane;
      gemm_accumulate<T, Arch>(product);
      product.a = w.second_squeeze + c0;
      product.b = second + r * t.branch_pitch, product.b_depth = t.branch_plane;
      product.c = other + r * t.branch_pitch;
      gemm_accumulate<T, Arch>(product);
    }
  }
  return branches;
}

/// Both gates [2, rows, out_pitch] of a tile from its branches.
template <class T, class Arch>
T* gates_of(const Tile<T, Arch>& t, const SelectiveWeights<const T>& w, const T* branches,
            TileSpace<T>& space) {
  const SelectiveGeometry& g = t.g;
  const std::int64_t plane = t.map_rows * t.map_pitch, gate_plane = t.rows * t.out_pitch;
  T* maps = space.maps.of(2 * plane + 2 * t.width);
  for (std::int64_t r = 0; r < t.map_rows; ++r)
    add_to_maps<T, Arch>(branches + r * t.branch_pitch, t.branch_plane, 2 * g.branch, t.map_columns,
                         maps + r * t.map_pitch, maps + plane + r * t.map_pitch);
  for (int m = 0; m < 2; ++m)
    clear_outside(maps + m * plane, t.map_pitch, t.top - t.select_h, t.left - t.select_w,
                  t.map_rows, t.map_columns, g.height, g.width);
  T* gates = space.gates.of(2 * gate_plane);
  const std::int64_t taps = g.selection.taps();
  for (int gate = 0; gate < 2; ++gate) {
    Correlation<T> step;
    step.kernel = g.selection;
    step.source_row = t.map_pitch;
    step.bias = w.selection_bias + gate;
    step.target = gates + gate * gate_plane, step.target_row = t.out_pitch;
    step.rows = t.rows, step.columns = t.columns;
    for (int m = 0; m < 2; ++m) {
      step.source = maps + m * plane;
      step.weights = w.selection + t.sample * g.selection_sample + (gate * 2 + m) * taps;
      step.add = m == 1;
      correlate<T, Arch, false>(step);
    }
  }
  for (std::int64_t r = 0; r < 2 * t.rows; ++r)
    for (std::int64_t x = t.columns; x < t.out_pitch; ++x) gates[r * t.out_pitch + x] = T(0);
  to_gates<T, Arch>(gates, 2 * gate_plane);
  return gates;
}

template <class T, class Arch>
void forward_tile(const Tile<T, Arch>& t, const SelectiveWeights<const T>& w, const T* input,
                  const T* multiplier, T* out, TileSpace<T>& space) {
  using Pack = simd::Pack<T, Arch>;
  const SelectiveGeometry& g = t.g;
  const T* branches = branches_of<T, Arch>(t, w, input, space);
  const T* other = branches + g.branch * t.branch_plane;
  const T* gates = gates_of<T, Arch>(t, w, branches, space);
  T* mixed = space.mixed.of(g.branch * t.out_pitch);
  T* result = space.result.of(g.out_channels * t.out_pitch);
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const T *gate = gates + r * t.out_pitch, *second_gate = gate + t.rows * t.out_pitch;
    const std::int64_t at = (r + t.select_h) * t.branch_pitch + t.select_w;
    for (std::int64_t d = 0; d < g.branch; ++d)
      for (std::int64_t x = 0; x < t.out_pitch; x += Pack::width) {
        const std::int64_t from = d * t.branch_plane + at + x;
        fma(Pack::load(second_gate + x), Pack::load(other + from),
            Pack::load(gate + x) * Pack::load(branches + from))
            .store(mixed + d * t.out_pitch + x);
      }
    fill_rows<T, Arch>(result, t.out_pitch, w.expand_bias, g.out_channels, t.out_pitch);
    GemmBlock<T> product;
    product.rows = g.out_channels, product.columns = t.columns, product.depth = g.branch;
    product.a = w.expand, product.a_row = g.branch;
    product.b = mixed, product.b_depth = t.out_pitch;
    product.c = result, product.c_row = t.out_pitch;
    gemm_accumulate<T, Arch>(product);
    for (std::int64_t e = 0; e < g.out_channels; ++e) {
      const std::int64_t to =
          (t.sample * g.out_channels + e) * g.area() + (t.top + r) * g.width + t.left;
      const T *factor = multiplier + to, *sum = result + e * t.out_pitch;
      std::int64_t x = 0;
      for (; x + Pack::width <= t.columns; x += Pack::width)
        (Pack::load(sum + x) * Pack::load(factor + x)).store(out + to + x);
      for (; x < t.columns; ++x) out[to + x] = sum[x] * factor[x];
    }
  }
}

template <class T, class Arch>
void forward(const SelectiveGeometry& g, const SelectiveWeights<const T>& w, const T* input,
             const T* multiplier, T* out, const ParallelFor& parallel) {
  using OneTile = Tile<T, Arch>;
  const std::int64_t down = (g.height + OneTile::most_rows - 1) / OneTile::most_rows;
  const std::int64_t across = (g.width + OneTile::most_columns - 1) / OneTile::most_columns;
  parallel(0, g.batch * down * across, [&](std::int64_t begin, std::int64_t end) {
    TileSpace<T> space;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t top = item / across % down * OneTile::most_rows;
      const std::int64_t left = item % across * OneTile::most_columns;
      const OneTile tile{g,
                         item / across / down,
                         top,
                         left,
                         smaller(OneTile::most_rows, g.height - top),
                         smaller(OneTile::most_columns, g.width - left)};
      forward_tile<T, Arch>(tile, w, input, multiplier, out, space);
    }
  });
}

}  // namespace selective_detail
}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
