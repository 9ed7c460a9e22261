// Widths of isolated point-like sources: full width at half maximum on one plane. No torch.
//
// A source of the truth is isolated when it is the largest value of its neighbourhood of
// (2 radius + 1)^2 pixels, all of them valid, and the border of that neighbourhood is dark beside
// it. Its width is measured along its row and its column, from the peak outwards to where the
// profile first falls through half of the peak above the background (the median of the
// neighbourhood's border), between pixels by straight lines; the width is the mean of both.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace deeplight::kernels {

/// One isolated source; widths in pixels, NaN where the profile does not fall below half.
struct SourceWidth {
  std::int64_t row = 0;
  std::int64_t column = 0;
  double prediction = 0.0;
  double target = 0.0;
};

/// What counts as an isolated source.
struct SourceRule {
  double min_peak = 0.0;    ///< least value of a peak, in the plane's units
  std::int64_t radius = 7;  ///< pixels; half the side of the neighbourhood
  double dark = 0.1;        ///< the border's largest value over the peak, at most
  std::int64_t shift = 2;   ///< pixels; how far the prediction's peak may lie from the truth's
};

/// Planes of `rows` x `columns` values, row-major; `valid` null when every pixel is.
struct SourcePlanes {
  const double* prediction = nullptr;
  const double* target = nullptr;
  const bool* valid = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

namespace detail {

/// Values on the border of the neighbourhood of (row, column).
inline std::vector<double> neighbourhood_border(const double* plane, std::int64_t columns,
                                                std::int64_t row, std::int64_t column,
                                                std::int64_t radius) {
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(8 * radius));
  for (std::int64_t offset = -radius; offset < radius; ++offset) {
    values.push_back(plane[(row - radius) * columns + column + offset]);
    values.push_back(plane[(row + offset) * columns + column + radius]);
    values.push_back(plane[(row + radius) * columns + column - offset]);
    values.push_back(plane[(row - offset) * columns + column - radius]);
  }
  return values;
}

inline double median(std::vector<double> values) {
  const auto unknown = [](double value) { return std::isnan(value); };
  if (std::any_of(values.begin(), values.end(), unknown)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

/// Distance from the peak to half of its height in one direction, pixels; NaN beyond `reach`.
inline double half_distance(const double* peak, std::int64_t stride, std::int64_t reach,
                            double half) {
  for (std::int64_t step = 1; step <= reach; ++step) {
    const double before = peak[(step - 1) * stride], after = peak[step * stride];
    if (after <= half) return static_cast<double>(step - 1) + (before - half) / (before - after);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// Width of the source whose peak is at (row, column), looking no further than `reach`.
inline double half_width(const double* plane, std::int64_t columns, std::int64_t row,
                         std::int64_t column, std::int64_t reach, double background) {
  const double* peak = plane + row * columns + column;
  const double half = 0.5 * (*peak + background);
  if (!(*peak > background)) return std::numeric_limits<double>::quiet_NaN();
  double width = 0.0;
  for (const std::int64_t stride : {std::int64_t{-1}, std::int64_t{1}, -columns, columns}) {
    width += half_distance(peak, stride, reach, half);
  }
  return 0.5 * width;
}

inline bool is_isolated(const SourcePlanes& planes, const SourceRule& rule, std::int64_t row,
                        std::int64_t column) {
  const double peak = planes.target[row * planes.columns + column];
  if (!(peak >= rule.min_peak) || !(peak > 0.0)) return false;
  for (std::int64_t i = row - rule.radius; i <= row + rule.radius; ++i) {
    for (std::int64_t j = column - rule.radius; j <= column + rule.radius; ++j) {
      const std::int64_t index = i * planes.columns + j;
      if (planes.valid != nullptr && !planes.valid[index]) return false;
      const double value = planes.target[index];
      // Of equal peaks the first in reading order stands; NaN fails both comparisons.
      const bool earlier = i < row || (i == row && j < column);
      if (earlier ? !(value < peak) : !(value <= peak)) return false;
      const bool border = std::max(std::abs(i - row), std::abs(j - column)) == rule.radius;
      if (border && value > rule.dark * peak) return false;
    }
  }
  return true;
}

}  // namespace detail

/// Widths of every isolated source, in reading order.
inline std::vector<SourceWidth> source_widths(const SourcePlanes& planes, const SourceRule& rule) {
  std::vector<SourceWidth> sources;
  const std::int64_t columns = planes.columns, radius = rule.radius;
  const std::int64_t reach = radius - rule.shift;
  for (std::int64_t row = radius; row < planes.rows - radius; ++row) {
    for (std::int64_t column = radius; column < columns - radius; ++column) {
      if (!detail::is_isolated(planes, rule, row, column)) continue;
      std::int64_t peak_row = row, peak_column = column;
      double peak = -std::numeric_limits<double>::infinity();
      for (std::int64_t i = row - rule.shift; i <= row + rule.shift; ++i) {
        for (std::int64_t j = column - rule.shift; j <= column + rule.shift; ++j) {
          if (planes.prediction[i * columns + j] > peak) {
            peak = planes.prediction[i * columns + j];
            peak_row = i;
            peak_column = j;
          }
        }
      }
      const auto background = [&](const double* plane) {
        return detail::median(detail::neighbourhood_border(plane, columns, row, column, radius));
      };
      sources.push_back({row, column,
                         detail::half_width(planes.prediction, columns, peak_row, peak_column,
                                            reach, background(planes.prediction)),
                         detail::half_width(planes.target, columns, row, column, reach,
                                            background(planes.target))});
    }
  }
  return sources;
}

}  // namespace deeplight::kernels
