// Gradient of a correlation for its kernel, on one block in cache. No torch, no allocation, no
// thread; blocks and their two layouts as in correlation_cpu.hpp.
//
//   sum[ky, kx] += sum over r, c of grad[r, c] * source[r + ky*dh, c + kx*dw]
#pragma once

#include <cstdint>

#include "deeplight/kernels/correlation_cpu.hpp"
#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {

inline namespace DEEPLIGHT_SIMD_TAG {

/// One block of a gradient of weights. Rows and pitches count numbers; `columns` counts elements.
template <class T>
struct CorrelationGradient {
  KernelShape kernel;
  const T* source = nullptr;  // as in Correlation
  std::int64_t source_row = 0;
  const T* grad = nullptr;  // [rows, columns], zeros up to whole vectors
  std::int64_t grad_row = 0;
  std::int64_t rows = 0, columns = 0;
  double* sum = nullptr;  // [taps]; with channel lanes [taps, width]; added to
};

namespace correlation_detail {

// Rows of a block whose products are summed in one register: a short sum keeps its digits.
inline constexpr std::int64_t rows_per_sum = 8;

/// Adds the sums of taps [y, y + ny) x [x, x + nx) over the source rows [first, last), counted
/// from the first that tap row y meets.
template <class T, class Arch, bool channel_lanes, int ny, int nx>
void gradient_tile(const CorrelationGradient<T>& c, std::int64_t y, std::int64_t x,
                   std::int64_t first, std::int64_t last) {
  using Pack = simd::Pack<T, Arch>;
  constexpr std::int64_t size = channel_lanes ? Pack::width : 1;
  const KernelShape& k = c.kernel;
  const std::int64_t total = c.columns * size, right = k.dilation_w * size;
  Pack sum[ny][nx];
#pragma GCC unroll 4
  for (int j = 0; j < ny; ++j)
#pragma GCC unroll 4
    for (int i = 0; i < nx; ++i) sum[j][i] = Pack::zero();
  for (std::int64_t row = first; row < last; ++row) {
    const T* DEEPLIGHT_RESTRICT source =
        c.source + (row + y * k.dilation_h) * c.source_row + x * right;
    const T* DEEPLIGHT_RESTRICT grad = c.grad + row * c.grad_row;
    const std::int64_t up = k.dilation_h * c.grad_row;
    for (std::int64_t at = 0; at < total; at += Pack::width) {
      Pack g[ny];
#pragma GCC unroll 4
      for (int j = 0; j < ny; ++j) g[j] = Pack::load(grad + at - j * up);
#pragma GCC unroll 4
      for (int i = 0; i < nx; ++i) {
        const Pack in = Pack::load(source + at + i * right);
#pragma GCC unroll 4
        for (int j = 0; j < ny; ++j) sum[j][i] = fma(g[j], in, sum[j][i]);
      }
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < ny; ++j)
#pragma GCC unroll 4
    for (int i = 0; i < nx; ++i) {
      double* out = c.sum + ((y + j) * k.columns + x + i) * size;
      if constexpr (channel_lanes) {
        T lanes[Pack::width];
        sum[j][i].store(lanes);
        for (std::int64_t l = 0; l < Pack::width; ++l) out[l] += static_cast<double>(lanes[l]);
      } else {
        *out += static_cast<double>(sum[j][i].sum());
      }
    }
}

/// Every source row of a block of taps.
template <class T, class Arch, bool channel_lanes, int ny, int nx>
void gradient_taps(const CorrelationGradient<T>& c, std::int64_t y, std::int64_t x) {
  const std::int64_t d = c.kernel.dilation_h, end = c.rows;
  // A source row that meets all rows of taps, counted from the first: [(ny - 1) * d, rows).
  const std::int64_t shared = (ny - 1) * d < end ? (ny - 1) * d : end;
  for (std::int64_t row = shared; row < end; row += rows_per_sum)
    gradient_tile<T, Arch, channel_lanes, ny, nx>(
        c, y, x, row, row + rows_per_sum < end ? row + rows_per_sum : end);
  if constexpr (ny > 1) {
    // The others, for each row of taps alone: before and after the shared rows.
    for (std::int64_t j = 0; j < ny; ++j) {
      const std::int64_t begin = shared - j * d < 0 ? 0 : shared - j * d;
      const std::int64_t after = end - j * d < begin ? begin : end - j * d;
      for (std::int64_t row = 0; row < begin; row += rows_per_sum)
        gradient_tile<T, Arch, channel_lanes, 1, nx>(
            c, y + j, x, row, row + rows_per_sum < begin ? row + rows_per_sum : begin);
      for (std::int64_t row = after; row < end; row += rows_per_sum)
        gradient_tile<T, Arch, channel_lanes, 1, nx>(
            c, y + j, x, row, row + rows_per_sum < end ? row + rows_per_sum : end);
    }
  }
}

template <class T, class Arch, bool channel_lanes, int ny>
void gradient_row(const CorrelationGradient<T>& c, std::int64_t y) {
  std::int64_t x = 0;
  for (; c.kernel.columns - x >= 4 && c.kernel.columns - x != 5; x += 4)
    gradient_taps<T, Arch, channel_lanes, ny, 4>(c, y, x);
  for (; c.kernel.columns - x >= 3; x += 3) gradient_taps<T, Arch, channel_lanes, ny, 3>(c, y, x);
  if (c.kernel.columns - x == 2) gradient_taps<T, Arch, channel_lanes, ny, 2>(c, y, x);
  if (c.kernel.columns - x == 1) gradient_taps<T, Arch, channel_lanes, ny, 1>(c, y, x);
}

}  // namespace correlation_detail

/// sum += gradient of the weights over one block.
template <class T, class Arch, bool channel_lanes>
void correlate_gradient(const CorrelationGradient<T>& c) {
  using namespace correlation_detail;
  constexpr int most = simd::registers<Arch> >= 32 ? 4 : 2;
  std::int64_t y = 0;
  if constexpr (most == 4) {
    for (; c.kernel.rows - y >= 4 && c.kernel.rows - y != 5; y += 4)
      gradient_row<T, Arch, channel_lanes, 4>(c, y);
    for (; c.kernel.rows - y >= 3; y += 3) gradient_row<T, Arch, channel_lanes, 3>(c, y);
  }
  for (; c.kernel.rows - y >= 2; y += 2) gradient_row<T, Arch, channel_lanes, 2>(c, y);
  if (c.kernel.rows - y == 1) gradient_row<T, Arch, channel_lanes, 1>(c, y);
}

/// sum += sum of the gradient over one block: the gradient of a bias.
template <class T, class Arch, bool channel_lanes>
void add_up(const T* grad, std::int64_t grad_row, std::int64_t rows, std::int64_t columns,
            double* sum) {
  using Pack = simd::Pack<T, Arch>;
  const std::int64_t total = columns * (channel_lanes ? Pack::width : 1);
  for (std::int64_t r = 0; r < rows; ++r, grad += grad_row) {
    Pack row = Pack::zero();
    for (std::int64_t at = 0; at < total; at += Pack::width) row = row + Pack::load(grad + at);
    if constexpr (channel_lanes) {
      T lanes[Pack::width];
      row.store(lanes);
      for (std::int64_t l = 0; l < Pack::width; ++l) sum[l] += static_cast<double>(lanes[l]);
    } else {
      *sum += static_cast<double>(row.sum());
    }
  }
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
