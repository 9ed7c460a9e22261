// Gradients of the large selective kernel on raw pointers, without torch.
//
// Per sample, everything between input and result is computed again. Two images are kept, both
// overwritten as soon as they are used up; the branches, mixtures and their gradients live in rows:
//
//   near   first(input)                  -> gradient of it, at last the input's is in its place
//   far    second(near)                  -> gradient of it
//   rows   branches, peaks, gates, mixture, expansion -> gradients of all 1x1 and of the selection
//
// Sums over pixels are cut into the same parts whatever the number of threads.
#pragma once

#include <cstdint>

#include "deeplight/kernels/correlation_gradient_cpu.hpp"
#include "deeplight/kernels/depthwise_conv_cpu.hpp"
#include "deeplight/kernels/large_selective_kernel_cpu.hpp"

namespace deeplight::kernels {
inline namespace DEEPLIGHT_SIMD_TAG {
namespace selective_detail {

/// sum[i, j] += sum over x of a[i, x] * b[j, x]; whole vectors, zeros beyond `columns` in a.
template <class T, class Arch, int ni, int nj>
void add_products(const T* a, std::int64_t a_row, const T* b, std::int64_t b_row,
                  std::int64_t columns, double* sum, std::int64_t sum_row) {
  using Pack = simd::Pack<T, Arch>;
  Pack total[ni][nj];
#pragma GCC unroll 4
  for (int i = 0; i < ni; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < nj; ++j) total[i][j] = Pack::zero();
  for (std::int64_t x = 0; x < columns; x += Pack::width) {
    Pack left[ni];
#pragma GCC unroll 4
    for (int i = 0; i < ni; ++i) left[i] = Pack::load(a + i * a_row + x);
#pragma GCC unroll 4
    for (int j = 0; j < nj; ++j) {
      const Pack right = Pack::load(b + j * b_row + x);
#pragma GCC unroll 4
      for (int i = 0; i < ni; ++i) total[i][j] = fma(left[i], right, total[i][j]);
    }
  }
  for (int i = 0; i < ni; ++i)
    for (int j = 0; j < nj; ++j) sum[i * sum_row + j] += static_cast<double>(total[i][j].sum());
}

template <class T, class Arch>
void add_outer(const T* a, std::int64_t rows_a, const T* b, std::int64_t rows_b, std::int64_t pitch,
               std::int64_t columns, double* sum) {
  std::int64_t i = 0;
  for (; i + 4 <= rows_a; i += 4) {
    std::int64_t j = 0;
    for (; j + 4 <= rows_b; j += 4)
      add_products<T, Arch, 4, 4>(a + i * pitch, pitch, b + j * pitch, pitch, columns,
                                  sum + i * rows_b + j, rows_b);
    for (; j < rows_b; ++j)
      add_products<T, Arch, 4, 1>(a + i * pitch, pitch, b + j * pitch, pitch, columns,
                                  sum + i * rows_b + j, rows_b);
  }
  for (; i < rows_a; ++i)
    for (std::int64_t j = 0; j < rows_b; ++j)
      add_products<T, Arch, 1, 1>(a + i * pitch, pitch, b + j * pitch, pitch, columns,
                                  sum + i * rows_b + j, rows_b);
}

/// `channels` rows of `columns` pixels into rows of `pitch`, zeros beyond.
template <class T>
void take_rows(const T* from, std::int64_t step, std::int64_t channels, std::int64_t columns,
               std::int64_t pitch, T* to) {
  for (std::int64_t c = 0; c < channels; ++c) {
    std::memcpy(to + c * pitch, from + c * step, static_cast<std::size_t>(columns) * sizeof(T));
    for (std::int64_t x = columns; x < pitch; ++x) to[c * pitch + x] = T(0);
  }
}

template <class T>
void put_rows(const T* from, std::int64_t pitch, std::int64_t channels, std::int64_t columns,
              std::int64_t step, T* to) {
  for (std::int64_t c = 0; c < channels; ++c)
    std::memcpy(to + c * step, from + c * pitch, static_cast<std::size_t>(columns) * sizeof(T));
}

/// Where the sums over pixels of a part begin, in numbers; the last is their count.
struct SumPlaces {
  explicit SumPlaces(const SelectiveGeometry& g)
      : expand_bias(g.out_channels * g.branch),
        first(expand_bias + g.out_channels),
        first_bias(first + g.branch * g.channels),
        second(first_bias + g.branch),
        second_bias(second + g.branch * g.channels),
        count(second_bias + g.branch) {}
  std::int64_t expand_bias, first, first_bias, second, second_bias, count;
};

/// Images and planes of the sample at work.
template <class T>
struct SampleState {
  const T *multiplier, *grad;  // [E, H, W]
  T *near, *far, *near_grad;   // [C, H, W]; far turns into its gradient
  T* multiplier_grad;          // [E, H, W]
  T *maps, *gates, *signals;   // [2, H, W] each; gates and signals (gradient) before the sigmoid
};

/// A piece of a row of one sample and what its pixels go through.
template <class T, class Arch>
class RowPass {
 public:
  using Pack = simd::Pack<T, Arch>;
  static constexpr std::int64_t most_columns = 256;

  RowPass(const SelectiveGeometry& g, const SelectiveWeights<const T>& w, const SampleState<T>& s)
      : g_(g), w_(w), s_(s), pitch_(whole<T, Arch>(smaller(most_columns, g.width))) {
    near_ = near_space_.of(g.channels * pitch_);
    far_ = far_space_.of(g.channels * pitch_);
    branches_ = branch_space_.of(2 * g.branch * pitch_);
    planes_ = plane_space_.of(8 * pitch_);
    wide_ = wide_space_.of(g.out_channels * pitch_);
    grad_ = grad_space_.of(g.out_channels * pitch_);
    mixed_ = mixed_space_.of(g.branch * pitch_);
    mixed_grad_ = mixed_grad_space_.of(g.branch * pitch_);
  }

  /// Maps of the piece at pixel `at`.
  void map(std::int64_t at, std::int64_t columns) {
    take_branches(at, columns);
    add_to_maps<T, Arch>(branches_, pitch_, 2 * g_.branch, columns, plane(0), plane(1));
    put_rows(planes_, pitch_, 2, columns, g_.area(), s_.maps + at);
  }

  /// Gradients of multiplier and expansion; the signals of the gates.
  void mix(std::int64_t at, std::int64_t columns, double* sums) {
    take_branches(at, columns);
    take_gates(at, columns);
    const T *first = branches_, *second = branches_ + g_.branch * pitch_;
    for (std::int64_t d = 0; d < g_.branch; ++d)
      for (std::int64_t x = 0; x < columns; x += Pack::width)
        fma(Pack::load(plane(1) + x), Pack::load(second + d * pitch_ + x),
            Pack::load(plane(0) + x) * Pack::load(first + d * pitch_ + x))
            .store(mixed_ + d * pitch_ + x);
    fill_rows<T, Arch>(wide_, pitch_, w_.expand_bias, g_.out_channels, columns);
    multiply(w_.expand, g_.branch, 1, mixed_, g_.branch, wide_, g_.out_channels, columns);
    take_rows(s_.grad + at, g_.area(), g_.out_channels, columns, pitch_, grad_);
    for (std::int64_t i = 0; i < g_.out_channels * pitch_; i += Pack::width)
      (Pack::load(wide_ + i) * Pack::load(grad_ + i)).store(wide_ + i);
    put_rows(wide_, pitch_, g_.out_channels, columns, g_.area(), s_.multiplier_grad + at);
    take_mixed_grad(at, columns);
    add_outer<T, Arch>(grad_, g_.out_channels, mixed_, g_.branch, pitch_, columns, sums);
    add_rows(grad_, g_.out_channels, columns, sums + places_.expand_bias);
    for (int gate = 0; gate < 2; ++gate) {
      const T* branch = gate == 0 ? first : second;
      for (std::int64_t x = 0; x < columns; x += Pack::width) {
        Pack sum = Pack::zero();
        for (std::int64_t d = 0; d < g_.branch; ++d)
          sum = fma(Pack::load(mixed_grad_ + d * pitch_ + x), Pack::load(branch + d * pitch_ + x),
                    sum);
        const Pack open = Pack::load(plane(gate) + x);
        (sum * open * (Pack::all(T(1)) - open)).store(plane(gate) + x);
      }
    }
    put_rows(planes_, pitch_, 2, columns, g_.area(), s_.signals + at);
  }

  /// Gradients of both squeezes, of far (in its place) and, from the squeeze alone, of near.
  void squeeze(std::int64_t at, std::int64_t columns, double* sums) {
    take_branches(at, columns);
    take_gates(at, columns);
    take_rows(s_.maps + at, g_.area(), 2, columns, pitch_, plane(2));  // now their gradients
    add_to_maps<T, Arch>(branches_, pitch_, 2 * g_.branch, columns, plane(4), plane(5));
    take_rows(s_.grad + at, g_.area(), g_.out_channels, columns, pitch_, grad_);
    take_mixed_grad(at, columns);
    const T share = T(1) / static_cast<T>(2 * g_.branch);
    for (std::int64_t x = 0; x < columns; ++x) {
      // The gradient of the maximum goes to the first channel that holds it.
      T left = plane(3)[x];
      for (std::int64_t d = 0; d < 2 * g_.branch; ++d) {
        T& value = branches_[d * pitch_ + x];
        const bool peak = value == plane(5)[x];
        value = plane(2)[x] * share + (peak ? left : T(0));
        if (peak) left = T(0);
      }
    }
    for (std::int64_t d = 0; d < 2 * g_.branch; ++d) {
      const T* gate = plane(d < g_.branch ? 0 : 1);
      const T* mixed = mixed_grad_ + (d % g_.branch) * pitch_;
      T* value = branches_ + d * pitch_;
      for (std::int64_t x = 0; x < columns; x += Pack::width)
        fma(Pack::load(gate + x), Pack::load(mixed + x), Pack::load(value + x)).store(value + x);
      for (std::int64_t x = columns; x < pitch_; ++x) value[x] = T(0);
    }
    const T *first = branches_, *second = branches_ + g_.branch * pitch_;
    add_outer<T, Arch>(first, g_.branch, near_, g_.channels, pitch_, columns, sums + places_.first);
    add_outer<T, Arch>(second, g_.branch, far_, g_.channels, pitch_, columns,
                       sums + places_.second);
    add_rows(first, g_.branch, columns, sums + places_.first_bias);
    add_rows(second, g_.branch, columns, sums + places_.second_bias);
    fill_rows<T, Arch>(near_, pitch_, nullptr, g_.channels, columns);
    multiply(w_.first_squeeze, 1, g_.channels, first, g_.branch, near_, g_.channels, columns);
    put_rows(near_, pitch_, g_.channels, columns, g_.area(), s_.near_grad + at);
    fill_rows<T, Arch>(far_, pitch_, nullptr, g_.channels, columns);
    multiply(w_.second_squeeze, 1, g_.channels, second, g_.branch, far_, g_.channels, columns);
    put_rows(far_, pitch_, g_.channels, columns, g_.area(), s_.far + at);
  }

 private:
  T* plane(int i) { return planes_ + i * pitch_; }

  /// c [rows, columns] += a b, a[i * a_row + k * a_depth].
  void multiply(const T* a, std::int64_t a_row, std::int64_t a_depth, const T* b,
                std::int64_t depth, T* c, std::int64_t rows, std::int64_t columns) {
    GemmBlock<T> product;
    product.rows = rows, product.columns = columns, product.depth = depth;
    product.a = a, product.a_row = a_row, product.a_depth = a_depth;
    product.b = b, product.b_depth = pitch_;
    product.c = c, product.c_row = pitch_;
    gemm_accumulate<T, Arch>(product);
  }

  void add_rows(const T* rows, std::int64_t count, std::int64_t columns, double* sums) {
    for (std::int64_t i = 0; i < count; ++i)
      add_up<T, Arch, false>(rows + i * pitch_, pitch_, 1, columns, sums + i);
  }

  void take_gates(std::int64_t at, std::int64_t columns) {
    take_rows(s_.gates + at, g_.area(), 2, columns, pitch_, planes_);
    to_gates<T, Arch>(planes_, 2 * pitch_);
  }

  void take_branches(std::int64_t at, std::int64_t columns) {
    take_rows(s_.near + at, g_.area(), g_.channels, columns, pitch_, near_);
    take_rows(s_.far + at, g_.area(), g_.channels, columns, pitch_, far_);
    fill_rows<T, Arch>(branches_, pitch_, w_.first_squeeze_bias, g_.branch, columns);
    multiply(w_.first_squeeze, g_.channels, 1, near_, g_.channels, branches_, g_.branch, columns);
    T* second = branches_ + g_.branch * pitch_;
    fill_rows<T, Arch>(second, pitch_, w_.second_squeeze_bias, g_.branch, columns);
    multiply(w_.second_squeeze, g_.channels, 1, far_, g_.channels, second, g_.branch, columns);
  }

  /// grad_ turns from the result's gradient into the expansion's; mixed_grad_ is the mixture's.
  void take_mixed_grad(std::int64_t at, std::int64_t columns) {
    for (std::int64_t e = 0; e < g_.out_channels; ++e) {
      const T* factor = s_.multiplier + e * g_.area() + at;
      for (std::int64_t x = 0; x < columns; ++x) grad_[e * pitch_ + x] *= factor[x];
    }
    fill_rows<T, Arch>(mixed_grad_, pitch_, nullptr, g_.branch, columns);
    multiply(w_.expand, 1, g_.branch, grad_, g_.out_channels, mixed_grad_, g_.branch, columns);
  }

  const SelectiveGeometry& g_;
  const SelectiveWeights<const T>& w_;
  const SampleState<T>& s_;
  const SumPlaces places_{g_};
  std::int64_t pitch_;
  Workspace<T> near_space_, far_space_, branch_space_, plane_space_, wide_space_, grad_space_,
      mixed_space_, mixed_grad_space_;
  T *near_, *far_, *branches_, *planes_, *wide_, *grad_, *mixed_, *mixed_grad_;
};

}  // namespace selective_detail
}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
