// Small local operators over a plane, or over the difference of two: gradients and the Laplacian.
//
// Planes [height, width]; values [height - size + 1, width - size + 1], size 2 or 3, for windows
// wholly inside. Sums of values and of squares are kept per row, so that neither threads nor blocks
// of whole rows show in the result.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "deeplight/kernels/plane.hpp"
#include "deeplight/kernels/window_moments_cpu.hpp"

namespace deeplight::kernels {

/// What is computed of a window; gradients in units per pixel.
enum class LocalOperator {
  difference,  ///< forward differences to the right and below, 2 x 2
  sobel,       ///< Sobel / 8, 3 x 3
  laplacian,   ///< four neighbours minus four times the centre, 3 x 3
};

inline std::int64_t local_size(LocalOperator op) {
  return op == LocalOperator::difference ? 2 : 3;
}

/// One plane (y empty), or the difference x - y, and where its values go.
struct LocalJob {
  Plane x, y = {};
  bool pair = false;
  MaskPlane mask = {}, where = {};  ///< where: at pixel (row + (size - 1) / 2, column + the same)
  double* row_sums = nullptr;       ///< [values high]
  double* row_squares = nullptr;    ///< [values high]
  std::int64_t* row_counts = nullptr;
  double* map = nullptr;  ///< [values high, values wide], NaN where dropped; or null
};

namespace detail {

/// One row of values from `size` rows of pixels; `weight` scales the squared gradient.
inline void local_row(LocalOperator op, bool absolute, double weight, const double* const* rows,
                      std::int64_t count, double* __restrict out) {
  const double *a = rows[0], *b = rows[1], *c = rows[2];
  if (op == LocalOperator::laplacian) {
    for (std::int64_t j = 0; j < count; ++j) {
      out[j] = (a[j + 1] + c[j + 1]) + (b[j] + b[j + 2]) - 4.0 * b[j + 1];
    }
    return;
  }
  const bool sobel = op == LocalOperator::sobel;
  for (std::int64_t j = 0; j < count; ++j) {
    const double dx = sobel ? ((a[j + 2] - a[j]) + 2.0 * (b[j + 2] - b[j]) + (c[j + 2] - c[j])) / 8
                            : a[j + 1] - a[j];
    const double dy =
        sobel ? ((c[j] - a[j]) + 2.0 * (c[j + 1] - a[j + 1]) + (c[j + 2] - a[j + 2])) / 8
              : b[j] - a[j];
    out[j] = absolute ? std::fabs(dx) + std::fabs(dy) : weight * (dx * dx + dy * dy);
  }
  if (!absolute) square_roots(out, count);
}

inline void local_band(const LocalJob& job, LocalOperator op, bool absolute, double weight,
                       std::int64_t begin, std::int64_t end) {
  const std::int64_t size = local_size(op), width = job.x.width(), count = width - size + 1;
  ValidityScan validity(size, 0, count);
  std::vector<double> ring(static_cast<std::size_t>(3 * width)), other(job.pair ? width : 0);
  std::vector<double> values(static_cast<std::size_t>(count));
  std::vector<std::uint8_t> counted(static_cast<std::size_t>(count), 1);
  for (std::int64_t y = begin; y < end + size - 1; ++y) {
    double* pixels = ring.data() + y % 3 * width;
    job.x.read(y, 0, width, pixels);
    if (job.pair) {
      job.y.read(y, 0, width, other.data());
      for (std::int64_t j = 0; j < width; ++j) pixels[j] -= other[j];
    }
    if (job.mask) validity.push(job.mask, y);
    const std::int64_t row = y - size + 1;
    if (row < begin) continue;
    const double* rows[3] = {ring.data() + row % 3 * width, ring.data() + (row + 1) % 3 * width,
                             ring.data() + (row + 2) % 3 * width};
    local_row(op, absolute, weight, rows, count, values.data());
    if (job.mask || job.where) std::fill(counted.begin(), counted.end(), std::uint8_t{1});
    if (job.mask) validity.clear_touched(counted.data());
    if (job.where) {
      const std::int64_t shift = (size - 1) / 2;
      for (std::int64_t j = 0; j < count; ++j) {
        if (!job.where.at(row + shift, j + shift)) counted[j] = 0;
      }
    }
    double sum = 0.0, squares = 0.0;
    std::int64_t number = 0;
    for (std::int64_t j = 0; j < count; ++j) {
      const double value = counted[j] ? values[j] : 0.0;
      sum += value;
      squares += value * value;
      number += counted[j];
    }
    job.row_sums[row] = sum;
    job.row_squares[row] = squares;
    job.row_counts[row] = number;
    if (job.map) {
      for (std::int64_t j = 0; j < count; ++j) {
        job.map[row * count + j] =
            counted[j] ? values[j] : std::numeric_limits<double>::quiet_NaN();
      }
    }
  }
}

}  // namespace detail

/// Values of every window of every job; all jobs have one size.
/// @param absolute  gradients: |dx| + |dy| instead of sqrt(weight (dx^2 + dy^2))
template <class Parallel>
void local_operator(const std::vector<LocalJob>& jobs, LocalOperator op, bool absolute,
                    double weight, const Parallel& parallel) {
  constexpr std::int64_t band_rows = 128;
  if (jobs.empty()) return;
  const std::int64_t high = jobs[0].x.height() - local_size(op) + 1;
  const std::int64_t bands = (high + band_rows - 1) / band_rows;
  parallel(0, static_cast<std::int64_t>(jobs.size()) * bands,
           [&](std::int64_t first, std::int64_t last) {
             for (std::int64_t item = first; item < last; ++item) {
               const std::int64_t begin = item % bands * band_rows;
               detail::local_band(jobs[item / bands], op, absolute, weight, begin,
                                  std::min(begin + band_rows, high));
             }
           });
}

/// Adds the valid pixels of a plane to a histogram over [0, range]; what lies outside goes to the
/// end bins.
/// @param bins  [count]
/// @return  the number of NaN pixels, which no bin can hold
inline std::int64_t add_histogram(const Plane& image, const MaskPlane& mask, double range,
                                  std::vector<std::int64_t>& bins) {
  const auto count = static_cast<double>(bins.size());
  std::vector<double> row(static_cast<std::size_t>(image.width()));
  std::int64_t unknown = 0;
  for (std::int64_t y = 0; y < image.height(); ++y) {
    image.read(y, 0, image.width(), row.data());
    for (std::int64_t x = 0; x < image.width(); ++x) {
      if (mask && !mask.at(y, x)) continue;
      if (std::isnan(row[x])) {
        ++unknown;
        continue;
      }
      const double bin = std::clamp(row[x] / range * count, 0.0, count - 1.0);
      ++bins[static_cast<std::size_t>(bin)];
    }
  }
  return unknown;
}

}  // namespace deeplight::kernels
