// NIQE's features of the blocks of a plane: Mittal, Soundararajan, Bovik 2013,
// doi:10.1109/LSP.2012.2227726, with the steps and constants of the authors' code.
//
// Planes [height, width]; blocks of size x size from a region's first pixel, whole ones only. At
// two scales (the plane, and the plane halved by MATLAB's bicubic `imresize`) pixels are normalised
// (7 x 7 Gaussian, sigma 7/6, replicated border, (I - mean) / (deviation + 1)), and 18 features are
// taken of each block: shape and mean scale of an asymmetric generalised Gaussian (AGGD) fitted to
// the values, and shape, mean, left and right scale of one fitted to the products of neighbours to
// the right, below and along both diagonals, cyclic inside the block. Every block is worked out on
// its own from the pixels within `niqe_reach` of it: nothing has the plane's size, and a block's
// features depend neither on threads nor on how an image is cut.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "deeplight/kernels/plane.hpp"
#include "deeplight/kernels/window_moments_cpu.hpp"

namespace deeplight::kernels {

inline constexpr std::int64_t niqe_features = 36;
/// Pixels around a block that its features read.
inline constexpr std::int64_t niqe_reach = 9;

/// Units and block size.
struct NiqeRules {
  double data_range = 255.0;  ///< values become 255 * (value / data_range)
  bool round = false;         ///< to integers then, as of 8-bit images
  std::int64_t block = 96;    ///< pixels, even
};

/// Features of one block.
struct NiqeBlock {
  std::array<double, niqe_features> features{};
  double sharpness = 0.0;  ///< mean local deviation at the first scale, in units of 255
  bool counted = false;    ///< chosen by `where`, no invalid pixel within reach, features defined
};

/// A region [rows, columns] of a plane that begins at (first_row, first_column), both even. What
/// the plane has beyond the region is its halo; where it ends with the plane, it ends with the
/// image.
struct NiqeJob {
  Plane image;
  MaskPlane mask = {}, where = {};  ///< of the plane
  std::int64_t first_row = 0, first_column = 0, rows = 0, columns = 0;
  NiqeBlock* blocks = nullptr;  ///< [rows / block, columns / block]
};

/// Parameters of an asymmetric generalised Gaussian.
struct Aggd {
  double shape, left, right;

  /// Distance of the mean from the mode: (right - left) G(2 / shape) / G(1 / shape).
  double mean() const {
    return (right - left) * std::exp(std::lgamma(2.0 / shape) - std::lgamma(1.0 / shape));
  }
};

/// The moments that an AGGD is fitted to.
struct AggdMoments {
  double absolute = 0.0, left = 0.0, right = 0.0;  ///< sums of |x|, of x^2 below and above 0
  std::int64_t count = 0, below = 0, above = 0;

  void add(double x) {
    absolute += std::fabs(x);
    const double square = x * x;
    if (x < 0.0) {
      left += square;
      ++below;
    } else if (x > 0.0) {
      right += square;
      ++above;
    }
    ++count;
    // A NaN is on neither side, and must not vanish.
    if (x != x) right = x;
  }
};

namespace detail {

/// G(2/a)^2 / (G(1/a) G(3/a)) at a = 0.2, 0.201, ..., 10: ascending.
inline const std::vector<double>& aggd_ratios() {
  static const std::vector<double> table = [] {
    std::vector<double> values(9801);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double a = 0.2 + 0.001 * static_cast<double>(i);
      values[i] =
          std::exp(2.0 * std::lgamma(2.0 / a) - std::lgamma(1.0 / a) - std::lgamma(3.0 / a));
    }
    return values;
  }();
  return table;
}

}  // namespace detail

/// Moment matching on a grid of shapes 0.2, 0.201, ..., 10, as the authors' code; NaN where one
/// side has no value.
inline Aggd fit_aggd(const AggdMoments& moments) {
  const double left = std::sqrt(moments.left / static_cast<double>(moments.below));
  const double right = std::sqrt(moments.right / static_cast<double>(moments.above));
  const double ratio = left / right;
  const double mean = moments.absolute / static_cast<double>(moments.count);
  const double square = (moments.left + moments.right) / static_cast<double>(moments.count);
  const double both = ratio * ratio + 1.0;
  const double wanted =
      mean * mean / square * (ratio * ratio * ratio + 1.0) * (ratio + 1.0) / (both * both);
  if (!std::isfinite(wanted)) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, nan};
  }
  const std::vector<double>& table = detail::aggd_ratios();
  auto place = std::lower_bound(table.begin(), table.end(), wanted);
  if (place == table.end()) --place;
  if (place != table.begin() && wanted - *(place - 1) <= *place - wanted) --place;
  const double shape = 0.2 + 0.001 * static_cast<double>(place - table.begin());
  const double scale = std::exp(0.5 * (std::lgamma(1.0 / shape) - std::lgamma(3.0 / shape)));
  return {shape, left * scale, right * scale};
}

namespace detail {

/// A small image cut out of a plane.
struct NiqePatch {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;

  NiqePatch(std::int64_t rows_, std::int64_t columns_)
      : rows(rows_), columns(columns_), values(static_cast<std::size_t>(rows_ * columns_)) {}
  double* row(std::int64_t i) { return values.data() + i * columns; }
  const double* row(std::int64_t i) const { return values.data() + i * columns; }
};

/// Mirrored with the edge repeated, as MATLAB's imresize.
inline std::int64_t symmetric_index(std::int64_t i, std::int64_t size) {
  const std::int64_t period = 2 * size;
  const std::int64_t at = ((i % period) + period) % period;
  return at < size ? at : period - 1 - at;
}

/// Rows [top, top + rows) and columns of the plane in units of 255; indices go through `index`.
template <class Index>
NiqePatch read_patch(const Plane& image, const NiqeRules& rules, std::int64_t top,
                     std::int64_t left, std::int64_t rows, std::int64_t columns,
                     const Index& index) {
  NiqePatch patch(rows, columns);
  const std::int64_t begin = std::clamp<std::int64_t>(-left, 0, columns);
  const std::int64_t end = std::clamp<std::int64_t>(image.width() - left, begin, columns);
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t row = index(top + i, image.height());
    double* out = patch.row(i);
    const auto outside = [&](std::int64_t j) {
      image.read(row, index(left + j, image.width()), 1, out + j);
    };
    if (end > begin) image.read(row, left + begin, end - begin, out + begin);
    for (std::int64_t j = 0; j < begin; ++j) outside(j);
    for (std::int64_t j = end; j < columns; ++j) outside(j);
    for (std::int64_t j = 0; j < columns; ++j) {
      out[j] = 255.0 * (out[j] / rules.data_range);
      if (rules.round) out[j] = std::round(out[j]);
    }
  }
  return patch;
}

/// The plane halved (bicubic, a = -1/2, widened to 8 taps): rows [top, top + rows) of the halved
/// plane, whose border is replicated.
inline NiqePatch halved_patch(const Plane& image, const NiqeRules& rules, std::int64_t top,
                              std::int64_t left, std::int64_t rows, std::int64_t columns) {
  // The cubic at 1/4, 3/4, 5/4, 7/4, halved; they sum to 1.
  static constexpr double taps[8] = {-0.01171875, -0.03515625, 0.11328125,  0.43359375,
                                     0.43359375,  0.11328125,  -0.03515625, -0.01171875};
  const std::int64_t high = (image.height() + 1) / 2, wide = (image.width() + 1) / 2;
  const std::int64_t first_row = std::clamp<std::int64_t>(top, 0, high - 1);
  const std::int64_t last_row = std::clamp<std::int64_t>(top + rows - 1, 0, high - 1);
  const std::int64_t first_column = std::clamp<std::int64_t>(left, 0, wide - 1);
  const std::int64_t last_column = std::clamp<std::int64_t>(left + columns - 1, 0, wide - 1);
  const std::int64_t inner_rows = last_row - first_row + 1;
  const std::int64_t inner_columns = last_column - first_column + 1;
  const NiqePatch fine = read_patch(image, rules, 2 * first_row - 3, 2 * first_column - 3,
                                    2 * inner_rows + 6, 2 * inner_columns + 6, symmetric_index);
  NiqePatch tall(inner_rows, fine.columns);
  for (std::int64_t i = 0; i < inner_rows; ++i) {
    for (std::int64_t k = 0; k < 8; ++k) {
      const double* from = fine.row(2 * i + k);
      double* out = tall.row(i);
      for (std::int64_t j = 0; j < fine.columns; ++j) out[j] += taps[k] * from[j];
    }
  }
  NiqePatch patch(rows, columns);
  for (std::int64_t i = 0; i < rows; ++i) {
    const double* from = tall.row(std::clamp(top + i, first_row, last_row) - first_row);
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int64_t at = 2 * (std::clamp(left + j, first_column, last_column) - first_column);
      double sum = 0.0;
      for (std::int64_t k = 0; k < 8; ++k) sum += taps[k] * from[at + k];
      patch.row(i)[j] = sum;
    }
  }
  return patch;
}

/// A patch with 3 pixels more on every side -> its normalised inside; `deviation` gets the mean of
/// the local deviations.
inline NiqePatch normalised_patch(const NiqePatch& patch, double& deviation) {
  static const MomentWindow window = MomentWindow::gaussian(7, 7.0 / 6.0);
  const std::int64_t rows = patch.rows - 6, columns = patch.columns - 6;
  NiqePatch mean(patch.rows, columns), square(patch.rows, columns), out(rows, columns);
  std::vector<double> squares(static_cast<std::size_t>(patch.columns));
  const double* shifted[7];
  for (std::int64_t i = 0; i < patch.rows; ++i) {
    const double* from = patch.row(i);
    for (std::int64_t j = 0; j < patch.columns; ++j) squares[j] = from[j] * from[j];
    for (std::int64_t k = 0; k < 7; ++k) shifted[k] = from + k;
    add_symmetric<7>(shifted, window.taps.data(), columns, mean.row(i));
    for (std::int64_t k = 0; k < 7; ++k) shifted[k] = squares.data() + k;
    add_symmetric<7>(shifted, window.taps.data(), columns, square.row(i));
  }
  std::vector<double> m(static_cast<std::size_t>(columns)), s(m.size());
  double sum = 0.0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t k = 0; k < 7; ++k) shifted[k] = mean.row(i + k);
    add_symmetric<7>(shifted, window.taps.data(), columns, m.data());
    for (std::int64_t k = 0; k < 7; ++k) shifted[k] = square.row(i + k);
    add_symmetric<7>(shifted, window.taps.data(), columns, s.data());
    for (std::int64_t j = 0; j < columns; ++j) s[j] = std::fabs(s[j] - m[j] * m[j]);
    square_roots(s.data(), columns);
    sum += lane_sum(s.data(), columns);
    const double* from = patch.row(i + 3) + 3;
    for (std::int64_t j = 0; j < columns; ++j) out.row(i)[j] = (from[j] - m[j]) / (s[j] + 1.0);
  }
  deviation = sum / static_cast<double>(rows * columns);
  return out;
}

/// 18 features of a normalised block.
inline void block_features(const NiqePatch& block, double* out) {
  AggdMoments plain;
  for (const double value : block.values) plain.add(value);
  const Aggd values = fit_aggd(plain);
  *out++ = values.shape;
  *out++ = (values.left + values.right) / 2.0;
  constexpr std::int64_t steps[4][2] = {{0, 1}, {1, 0}, {1, 1}, {1, -1}};
  for (const auto& [down, right] : steps) {
    AggdMoments products;
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const double *row = block.row(i), *other = block.row((i - down + block.rows) % block.rows);
      for (std::int64_t j = 0; j < block.columns; ++j) {
        products.add(row[j] * other[(j - right + block.columns) % block.columns]);
      }
    }
    const Aggd fitted = fit_aggd(products);
    *out++ = fitted.shape;
    *out++ = fitted.mean();
    *out++ = fitted.left;
    *out++ = fitted.right;
  }
}

/// Whether the masks let a block at (top, left) of the plane count.
inline bool niqe_block_counts(const NiqeJob& job, std::int64_t top, std::int64_t left,
                              std::int64_t block) {
  if (job.mask) {
    const std::int64_t bottom = std::min(top + block + niqe_reach, job.image.height());
    const std::int64_t right = std::min(left + block + niqe_reach, job.image.width());
    for (std::int64_t i = std::max<std::int64_t>(top - niqe_reach, 0); i < bottom; ++i) {
      for (std::int64_t j = std::max<std::int64_t>(left - niqe_reach, 0); j < right; ++j) {
        if (!job.mask.at(i, j)) return false;
      }
    }
  }
  if (!job.where) return true;
  for (std::int64_t i = top; i < top + block; ++i) {
    for (std::int64_t j = left; j < left + block; ++j) {
      if (job.where.at(i, j)) return true;
    }
  }
  return false;
}

}  // namespace detail

/// Features of every whole block of every job; all jobs' regions have one size. Each job's plane
/// must end where its region's last whole block ends, or `niqe_reach` pixels or more beyond.
template <class Parallel>
void niqe_blocks(const std::vector<NiqeJob>& jobs, const NiqeRules& rules,
                 const Parallel& parallel) {
  if (jobs.empty()) return;
  const std::int64_t size = rules.block, half = size / 2;
  const std::int64_t high = jobs[0].rows / size, wide = jobs[0].columns / size;
  const auto clamped = [](std::int64_t i, std::int64_t n) {
    return std::clamp<std::int64_t>(i, 0, n - 1);
  };
  parallel(
      0, static_cast<std::int64_t>(jobs.size()) * high * wide,
      [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t item = begin; item < end; ++item) {
          const NiqeJob& job = jobs[item / (high * wide)];
          const std::int64_t place = item % (high * wide);
          const std::int64_t top = job.first_row + place / wide * size;
          const std::int64_t left = job.first_column + place % wide * size;
          NiqeBlock& block = job.blocks[place];
          block = {};
          if (!detail::niqe_block_counts(job, top, left, size)) continue;
          double halved = 0.0;
          const detail::NiqePatch fine = detail::normalised_patch(
              detail::read_patch(job.image, rules, top - 3, left - 3, size + 6, size + 6, clamped),
              block.sharpness);
          const detail::NiqePatch coarse = detail::normalised_patch(
              detail::halved_patch(job.image, rules, top / 2 - 3, left / 2 - 3, half + 6, half + 6),
              halved);
          detail::block_features(fine, block.features.data());
          detail::block_features(coarse, block.features.data() + niqe_features / 2);
          // A flat block has no shape and does not count; a NaN among the pixels shows.
          if (std::isnan(halved)) block.sharpness = halved;
          const bool defined = std::none_of(block.features.begin(), block.features.end(),
                                            [](double value) { return std::isnan(value); });
          block.counted = defined || std::isnan(block.sharpness);
        }
      });
}

}  // namespace deeplight::kernels
