// Weighted first and second moments of two planes over sliding windows, streamed row by row.
//
// Planes [height, width]; windows of size x size that lie wholly inside: [height - size + 1,
// width - size + 1]. Per window: mean of x, mean of y, mean of x^2 + y^2, mean of x*y (the two
// variances are only ever needed as their sum). Every filtered row is computed once and kept in a
// ring of `size` rows; nothing has the image's size. Sums are trees, never running differences:
// they do not drift, and a window's value does not depend on where a scan started, so any tiling
// gives the same bits. A window of 8 x 8 equal pixels has a variance of exactly 0.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "deeplight/kernels/plane.hpp"

namespace deeplight::kernels {

/// A separable, symmetric window: taps that sum to 1, or all equal.
struct MomentWindow {
  std::int64_t size = 0;
  std::vector<double> taps = {};  ///< empty: uniform

  static MomentWindow uniform(std::int64_t size) { return {size, {}}; }

  /// @param size  odd, pixels
  /// @param sigma  pixels, above 0
  static MomentWindow gaussian(std::int64_t size, double sigma) {
    MomentWindow window{size, std::vector<double>(static_cast<std::size_t>(size))};
    double sum = 0.0;
    for (std::int64_t i = 0; i < size; ++i) {
      const double distance = static_cast<double>(i - size / 2);
      sum += window.taps[i] = std::exp(-0.5 * distance * distance / (sigma * sigma));
    }
    for (double& tap : window.taps) tap /= sum;
    return window;
  }
};

namespace detail {

/// out[j] = sum over k of taps[k] * rows[k][j], symmetric taps, N rows.
template <int N>
void add_symmetric(const double* const* rows, const double* taps, std::int64_t count,
                   double* __restrict out) {
  const double* source[N];
  double weight[N / 2 + 1];
  for (int k = 0; k < N; ++k) source[k] = rows[k];
  for (int k = 0; k <= N / 2; ++k) weight[k] = taps[k];
  for (std::int64_t j = 0; j < count; ++j) {
    double sum = weight[N / 2] * source[N / 2][j];
    for (int k = 0; k < N / 2; ++k) sum += weight[k] * (source[k][j] + source[N - 1 - k][j]);
    out[j] = sum;
  }
}

inline void add_symmetric(const double* const* rows, const double* taps, std::int64_t size,
                          std::int64_t count, double* __restrict out) {
  if (size == 11) return add_symmetric<11>(rows, taps, count, out);
  if (size == 7) return add_symmetric<7>(rows, taps, count, out);
  const double middle = taps[size / 2];
  const double* centre = rows[size / 2];
  for (std::int64_t j = 0; j < count; ++j) out[j] = middle * centre[j];
  for (std::int64_t k = 0; k < size / 2; ++k) {
    const double weight = taps[k];
    const double *a = rows[k], *b = rows[size - 1 - k];
    for (std::int64_t j = 0; j < count; ++j) out[j] += weight * (a[j] + b[j]);
  }
}

template <int N>
inline double tree(const double* const* rows, std::int64_t j) {
  if constexpr (N == 1) {
    return rows[0][j];
  } else {
    return tree<N / 2>(rows, j) + tree<N - N / 2>(rows + N / 2, j);
  }
}

/// out[j] = scale * sum of rows[k][j] over N rows, added as a tree.
template <int N>
void add_equal(const double* const* rows, double scale, std::int64_t count,
               double* __restrict out) {
  const double* source[N];
  for (int k = 0; k < N; ++k) source[k] = rows[k];
  for (std::int64_t j = 0; j < count; ++j) out[j] = tree<N>(source, j) * scale;
}

inline void add_equal(const double* const* rows, double scale, std::int64_t size,
                      std::int64_t count, double* __restrict out) {
  if (size == 8) return add_equal<8>(rows, scale, count, out);
  if (size == 7) return add_equal<7>(rows, scale, count, out);
  for (std::int64_t j = 0; j < count; ++j) out[j] = rows[0][j];
  for (std::int64_t k = 1; k < size; ++k) {
    const double* row = rows[k];
    for (std::int64_t j = 0; j < count; ++j) out[j] += row[j];
  }
  for (std::int64_t j = 0; j < count; ++j) out[j] *= scale;
}

}  // namespace detail

/// Moments of one row of windows.
struct MomentRow {
  const double* mean_x;
  const double* mean_y;
  const double* squares;  ///< mean of x^2 + y^2
  const double* product;  ///< mean of x * y
};

/// One strip of columns of two planes, fed row by row.
class MomentScan {
 public:
  /// @param columns  windows in the strip; pixels [first, first + columns + size - 1) are read
  MomentScan(const MomentWindow& window, std::int64_t first, std::int64_t columns)
      : window_(window),
        first_(first),
        columns_(columns),
        pixels_(columns + window.size - 1),
        doubled_(window.taps.empty() && window.size == 8),
        raw_(static_cast<std::size_t>(channels * pixels_)),
        ring_(static_cast<std::size_t>((doubled_ ? 7 : window.size) * channels * columns)),
        out_(static_cast<std::size_t>(channels * columns)),
        rows_(static_cast<std::size_t>(window.size)) {}

  /// Reads and filters the next row of both planes.
  void push(const Plane& x, const Plane& y, std::int64_t row) {
    double* __restrict a = raw_.data();
    double* __restrict b = a + pixels_;
    double* __restrict squares = b + pixels_;
    double* __restrict product = squares + pixels_;
    x.read(row, first_, pixels_, a);
    y.read(row, first_, pixels_, b);
    for (std::int64_t j = 0; j < pixels_; ++j) {
      squares[j] = a[j] * a[j] + b[j] * b[j];
      product[j] = a[j] * b[j];
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      double* line = raw_.data() + c * pixels_;
      if (doubled_) {
        double_up(line, c);
        continue;
      }
      for (std::int64_t k = 0; k < window_.size; ++k) rows_[k] = line + k;
      combine(slot(pushed_ % window_.size, c));
    }
    ++pushed_;
  }

  bool ready() const { return pushed_ >= window_.size; }

  /// Moments of the windows whose last row was pushed last.
  MomentRow windows() {
    for (std::int64_t c = 0; c < channels && !doubled_; ++c) {
      for (std::int64_t k = 0; k < window_.size; ++k) {
        rows_[k] = slot((pushed_ + k) % window_.size, c);
      }
      combine(out_.data() + c * columns_);
    }
    const double* out = out_.data();
    return {out, out + columns_, out + 2 * columns_, out + 3 * columns_};
  }

 private:
  static constexpr std::int64_t channels = 4;

  double* slot(std::int64_t row, std::int64_t channel) {
    return ring_.data() + (row * channels + channel) * columns_;
  }

  void combine(double* out) const {
    if (window_.taps.empty()) {
      const double scale = 1.0 / static_cast<double>(window_.size);
      detail::add_equal(rows_.data(), scale, window_.size, columns_, out);
    } else {
      detail::add_symmetric(rows_.data(), window_.taps.data(), window_.size, columns_, out);
    }
  }

  // The tree of 8 shares its branches between neighbours: sums of 2, of 4 and of 8, each from two
  // of the one before. Kept are the last row, the last two sums of 2 rows and the last four of 4.
  void double_up(double* line, std::int64_t channel) {
    for (std::int64_t j = 0; j < pixels_ - 1; ++j) line[j] += line[j + 1];
    for (std::int64_t j = 0; j < pixels_ - 3; ++j) line[j] += line[j + 2];
    const double* __restrict sums = line;
    double* __restrict last = slot(0, channel);
    double* __restrict pairs = slot(1 + pushed_ % 2, channel);
    double* __restrict fours = slot(3 + pushed_ % 4, channel);
    double* __restrict out = out_.data() + channel * columns_;
    for (std::int64_t j = 0; j < columns_; ++j) {
      const double one = sums[j] + sums[j + 4];
      const double two = last[j] + one;
      const double four = pairs[j] + two;
      out[j] = (fours[j] + four) * (1.0 / 64.0);
      last[j] = one;
      pairs[j] = two;
      fours[j] = four;
    }
  }

  const MomentWindow& window_;
  std::int64_t first_, columns_, pixels_;
  bool doubled_;
  std::int64_t pushed_ = 0;
  std::vector<double> raw_, ring_, out_;
  std::vector<const double*> rows_;
};

/// Which windows of a strip touch no invalid pixel, fed row by row.
class ValidityScan {
 public:
  ValidityScan(std::int64_t size, std::int64_t first, std::int64_t columns)
      : size_(size),
        first_(first),
        columns_(columns),
        last_invalid_(static_cast<std::size_t>(columns + size - 1), -1) {}

  void push(const MaskPlane& mask, std::int64_t row) {
    const auto pixels = static_cast<std::int64_t>(last_invalid_.size());
    const bool* values = mask.row(row);
    for (std::int64_t j = 0; j < pixels; ++j) {
      const bool valid =
          values ? values[(first_ + j) * mask.column_stride] : mask.at(row, first_ + j);
      if (!valid) last_invalid_[j] = latest_ = pushed_;
    }
    ++pushed_;
  }

  /// Clears counted[j] where the window touches an invalid pixel of the last `size` rows.
  void clear_touched(std::uint8_t* counted) const {
    if (latest_ < pushed_ - size_) return;
    std::int64_t last = -1;
    for (std::int64_t j = 0; j < columns_ + size_ - 1; ++j) {
      if (last_invalid_[j] >= pushed_ - size_) last = j;
      const std::int64_t window = j - size_ + 1;
      if (window >= 0 && last >= window) counted[window] = 0;
    }
  }

 private:
  std::int64_t size_, first_, columns_;
  std::int64_t pushed_ = 0, latest_ = -1;
  std::vector<std::int64_t> last_invalid_;
};

}  // namespace deeplight::kernels
