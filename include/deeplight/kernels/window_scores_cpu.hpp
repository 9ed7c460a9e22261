// Scores of sliding windows (SSIM, UIQI) from their moments, summed row by row.
//
// Planes [height, width]; scores [height - size + 1, width - size + 1]. Each row of windows has its
// own sum and count, computed over fixed strips of columns; rows are worked through in fixed bands.
// So the result depends neither on the number of threads nor on how an image is cut into blocks of
// whole rows. Sources: Wang et al. 2004, doi:10.1109/TIP.2003.819861 (SSIM); Wang and Bovik 2002,
// doi:10.1109/97.995823 (UIQI).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "deeplight/kernels/plane.hpp"
#include "deeplight/kernels/wider_vectors.hpp"
#include "deeplight/kernels/window_moments_cpu.hpp"

namespace deeplight::kernels {

/// One pair of planes and where its scores go.
struct WindowJob {
  Plane x, y;
  MaskPlane mask = {};         ///< valid pixels; a window that touches an invalid one is dropped
  MaskPlane where = {};        ///< centres that count: pixel (row + size / 2, column + size / 2)
  double* row_sums = nullptr;  ///< [windows high]
  std::int64_t* row_counts = nullptr;  ///< [windows high]
  double* map = nullptr;               ///< [windows high, windows wide], NaN where dropped; or null
};

/// One strip of one row of windows, for a score to fill.
struct WindowRow {
  const WindowJob& job;
  const MomentWindow& window;
  std::int64_t row, column;  ///< of the first window's top left pixel
  double* values;
  std::uint8_t* counted;  ///< 1 where the window counts; a score may clear it
};

/// Structural similarity, or its contrast and structure term alone.
struct SsimScore {
  double c1 = 0.0, c2 = 0.0;
  double covariance_scale = 1.0;  ///< N / (N - 1) for sample moments
  bool luminance = true;          ///< false: (2 cov + c2) / (var + c2)

  bool drops() const { return false; }

  void operator()(const MomentRow& m, std::int64_t count, const WindowRow& row) const {
    double* __restrict out = row.values;
    const double *mean_x = m.mean_x, *mean_y = m.mean_y, *squares = m.squares, *product = m.product;
    for (std::int64_t j = 0; j < count; ++j) {
      const double xy = mean_x[j] * mean_y[j];
      const double both = mean_x[j] * mean_x[j] + mean_y[j] * mean_y[j];
      const double covariance = (product[j] - xy) * covariance_scale;
      const double variances = (squares[j] - both) * covariance_scale;
      out[j] = luminance
                   ? (2.0 * xy + c1) * (2.0 * covariance + c2) / ((both + c1) * (variances + c2))
                   : (2.0 * covariance + c2) / (variances + c2);
    }
  }
};

/// What a window that cannot be judged is worth: flat on both sides, or zero on average.
enum class Degenerate {
  one,   ///< Wang and Bovik's code: 1 where dark on both sides, the luminance term where flat
  zero,  ///< what a small constant in the denominator makes of it
  skip,  ///< dropped
};

/// Universal image quality index.
struct UiqiScore {
  Degenerate degenerate = Degenerate::one;

  bool drops() const { return degenerate == Degenerate::skip; }

  void operator()(const MomentRow& m, std::int64_t count, const WindowRow& row) const {
    double* __restrict out = row.values;
    const double *mean_x = m.mean_x, *mean_y = m.mean_y, *squares = m.squares, *product = m.product;
    std::int64_t doubtful = 0;
    for (std::int64_t j = 0; j < count; ++j) {
      const double xy = mean_x[j] * mean_y[j];
      const double both = mean_x[j] * mean_x[j] + mean_y[j] * mean_y[j];
      const double variances = squares[j] - both;
      const double covariance = product[j] - xy;
      out[j] = 4.0 * covariance * xy / (variances * both);
      doubtful += (variances <= lost * squares[j]) | (both == 0.0);
    }
    if (doubtful == 0) return;
    for (std::int64_t j = 0; j < count; ++j) {
      const double both = mean_x[j] * mean_x[j] + mean_y[j] * mean_y[j];
      if (squares[j] == 0.0) {
        out[j] = flat(0.0, 0.0, row.counted[j]);
      } else if (squares[j] - both <= lost * squares[j]) {
        if (row.counted[j]) out[j] = inspected(row, j);
      } else if (both == 0.0) {
        out[j] = flat(0.0, 0.0, row.counted[j]);
      }
    }
  }

 private:
  // A variance this much smaller than the mean square has lost its digits to the subtraction.
  static constexpr double lost = 0x1p-36;

  double flat(double xy, double both, std::uint8_t& counted) const {
    if (degenerate == Degenerate::zero) return 0.0;
    if (degenerate == Degenerate::skip) counted = 0;
    return both == 0.0 ? 1.0 : 2.0 * xy / both;
  }

  // The window again, in two passes over its pixels.
  double inspected(const WindowRow& row, std::int64_t j) const {
    const std::int64_t size = row.window.size;
    std::vector<double> x(static_cast<std::size_t>(size * size)), y(x.size()), weight(x.size());
    bool constant = true;
    double mean_x = 0.0, mean_y = 0.0;
    for (std::int64_t i = 0; i < size; ++i) {
      row.job.x.read(row.row + i, row.column + j, size, x.data() + i * size);
      row.job.y.read(row.row + i, row.column + j, size, y.data() + i * size);
      for (std::int64_t k = i * size; k < (i + 1) * size; ++k) {
        weight[k] = row.window.taps.empty() ? 1.0 / static_cast<double>(size * size)
                                            : row.window.taps[i] * row.window.taps[k - i * size];
        constant = constant && x[k] == x[0] && y[k] == y[0];
        mean_x += weight[k] * x[k];
        mean_y += weight[k] * y[k];
      }
    }
    if (constant) return flat(x[0] * y[0], x[0] * x[0] + y[0] * y[0], row.counted[j]);
    double variances = 0.0, covariance = 0.0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const double dx = x[k] - mean_x, dy = y[k] - mean_y;
      variances += weight[k] * (dx * dx + dy * dy);
      covariance += weight[k] * dx * dy;
    }
    const double both = mean_x * mean_x + mean_y * mean_y;
    if (variances == 0.0 || both == 0.0) return flat(mean_x * mean_y, both, row.counted[j]);
    return 4.0 * covariance * mean_x * mean_y / (variances * both);
  }
};

namespace detail {

inline double counted_sum(const double* values, const std::uint8_t* counted, std::int64_t count,
                          std::int64_t& number) {
  double lanes[4] = {0, 0, 0, 0};
  for (std::int64_t j = 0; j < count; ++j) {
    lanes[j % 4] += counted[j] ? values[j] : 0.0;
    number += counted[j];
  }
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

template <class Score>
void score_strip(const WindowJob& job, const MomentWindow& window, const Score& score,
                 std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t columns) {
  const std::int64_t size = window.size, wide = job.x.width() - size + 1;
  const bool selective = job.mask || job.where || score.drops();
  MomentScan scan(window, first, columns);
  ValidityScan validity(size, first, columns);
  std::vector<double> values(static_cast<std::size_t>(columns));
  std::vector<std::uint8_t> counted(static_cast<std::size_t>(columns), 1);
  for (std::int64_t pixel_row = begin; pixel_row < end + size - 1; ++pixel_row) {
    scan.push(job.x, job.y, pixel_row);
    if (job.mask) validity.push(job.mask, pixel_row);
    if (!scan.ready()) continue;
    const std::int64_t row = pixel_row - size + 1;
    if (selective) {
      std::fill(counted.begin(), counted.end(), std::uint8_t{1});
      if (job.mask) validity.clear_touched(counted.data());
      if (job.where) {
        for (std::int64_t j = 0; j < columns; ++j) {
          counted[j] &= job.where.at(row + size / 2, first + j + size / 2) ? 1 : 0;
        }
      }
    }
    score(scan.windows(), columns,
          WindowRow{job, window, row, first, values.data(), counted.data()});
    std::int64_t number = selective ? 0 : columns;
    job.row_sums[row] += selective ? counted_sum(values.data(), counted.data(), columns, number)
                                   : lane_sum(values.data(), columns);
    job.row_counts[row] += number;
    if (job.map) {
      double* out = job.map + row * wide + first;
      for (std::int64_t j = 0; j < columns; ++j) {
        out[j] = counted[j] ? values[j] : std::numeric_limits<double>::quiet_NaN();
      }
    }
  }
}

}  // namespace detail

/// Scores every window of every job; row sums and counts must be zero before.
/// @param parallel  parallel(begin, end, body(begin, end)) over independent items, e.g. a wrapped
///                  at::parallel_for, or Sequential
template <class Score, class Parallel>
void score_windows(const std::vector<WindowJob>& jobs, const MomentWindow& window,
                   const Score& score, const Parallel& parallel) {
  constexpr std::int64_t band_rows = 128, strip_columns = 2048;
  if (jobs.empty()) return;
  const std::int64_t high = jobs[0].x.height() - window.size + 1;
  const std::int64_t wide = jobs[0].x.width() - window.size + 1;
  const std::int64_t bands = (high + band_rows - 1) / band_rows;
  parallel(0, static_cast<std::int64_t>(jobs.size()) * bands,
           [&](std::int64_t first_item, std::int64_t last_item) {
             for (std::int64_t item = first_item; item < last_item; ++item) {
               const std::int64_t begin = item % bands * band_rows;
               const std::int64_t end = std::min(begin + band_rows, high);
               for (std::int64_t first = 0; first < wide; first += strip_columns) {
                 in_wider_vectors([&] {
                   detail::score_strip(jobs[item / bands], window, score, begin, end, first,
                                       std::min(strip_columns, wide - first));
                 });
               }
             }
           });
}

}  // namespace deeplight::kernels
