// PIQE's blocks: Venkatanath et al. 2015, doi:10.1109/NCC.2015.7084843, as MATLAB's `piqe` does it.
//
// A region of a plane is cut into blocks of 16 x 16, the far edges padded symmetrically to whole
// blocks. Pixels are stretched and rounded, normalised (MSCN: 7 x 7 Gaussian, sigma 7/6, replicated
// border, (I - mean) / (deviation + 1)), and every block is judged by its sample variance, by flat
// segments on its edges and by the spread of its two centre columns. Streamed by rows: nothing has
// the plane's size, and a block's verdict does not depend on where a scan started.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "deeplight/kernels/plane.hpp"
#include "deeplight/kernels/wider_vectors.hpp"
#include "deeplight/kernels/window_moments_cpu.hpp"

namespace deeplight::kernels {

inline constexpr std::int64_t piqe_block = 16;

/// Constants and quirks.
struct PiqeRules {
  double maximum = 0.0;         ///< 255 * (value / maximum); 0 leaves values as they are
  bool round = true;            ///< to integers, halves away from zero
  bool parity_surround = true;  ///< the surround leaves out columns 8 and 10, not 8 and 9 (1-based)
  double activity_threshold = 0.1;
  double artifact_threshold = 0.1;
};

/// Verdict on one block.
struct PiqeBlock {
  double distortion = 0.0;  ///< (1 - v) if artifact, + v if noise; NaN where the block holds a NaN
  bool counted = false, active = false, artifact = false, noise = false;
};

/// A region [rows, columns] of a plane that begins at (first_row, first_column). What the plane has
/// beyond the region is its halo; where it ends with the plane, it ends with the image.
struct PiqeJob {
  Plane image;
  MaskPlane mask = {};   ///< valid pixels, of the plane; a block that an invalid pixel can reach
                         ///< (within 3 pixels) is dropped
  MaskPlane where = {};  ///< of the plane; only blocks with a true pixel count
  std::int64_t first_row = 0, first_column = 0, rows = 0, columns = 0;
  PiqeBlock* blocks = nullptr;  ///< [ceil(rows / 16), ceil(columns / 16)]

  std::int64_t blocks_high() const { return (rows + piqe_block - 1) / piqe_block; }
  std::int64_t blocks_wide() const { return (columns + piqe_block - 1) / piqe_block; }
};

namespace detail {

/// Index into a plane of `size` for pixel i of a region that begins at `first` and is padded to
/// `padded` pixels: symmetric padding at the far edge, replication beyond everything.
inline std::int64_t piqe_index(std::int64_t i, std::int64_t first, std::int64_t padded,
                               std::int64_t size) {
  std::int64_t index = first + i;
  if (index < 0) return 0;
  if (index < size) return index;
  index = std::max(first + std::min(i, padded - 1), size - 1) % (2 * size);
  return index < size ? index : 2 * size - 1 - index;
}

// To the nearest integer, halves away from zero, in operations that every instruction set
// vectorises: adding 1.5 * 2^52 rounds halves to even, and those are then put right.
inline double rounded(double value) {
  constexpr double magic = 0x1.8p52;
  const double size = std::fabs(value);
  const double even = (size + magic) - magic;
  const double half_up = size - even == 0.5 ? 1.0 : 0.0;
  const double away = even + half_up;
  return std::copysign(size < 0x1p51 ? away : size, value);
}

inline double sample_variance(const double* values, std::int64_t count, std::int64_t stride) {
  double mean = 0.0, sum = 0.0;
  for (std::int64_t i = 0; i < count; ++i) mean += values[i * stride];
  mean /= static_cast<double>(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const double d = values[i * stride] - mean;
    sum += d * d;
  }
  return sum / static_cast<double>(count - 1);
}

inline bool has_flat_segment(const double* edge, std::int64_t stride, double threshold) {
  constexpr std::int64_t length = 6;
  for (std::int64_t i = 0; i + length <= piqe_block; ++i) {
    if (sample_variance(edge + i * stride, length, stride) < threshold * threshold) return true;
  }
  return false;
}

/// Judges one block of normalised values; rows are `stride` apart.
inline void judge_block(const double* block, std::int64_t stride, const PiqeRules& rules,
                        PiqeBlock& verdict) {
  constexpr std::int64_t n = piqe_block;
  // 0-based: the centre is columns 7 and 8; the reference code removes the 8th column and then the
  // 9th of what is left, which was the 10th.
  const std::int64_t left_out = rules.parity_surround ? 9 : 8;
  double columns[n] = {};
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = 0; c < n; ++c) columns[c] += block[r * stride + c];
  }
  double total = 0.0, surround = 0.0;
  for (std::int64_t c = 0; c < n; ++c) {
    total += columns[c];
    if (c != 7 && c != left_out) surround += columns[c];
  }
  const double mean = total / (n * n), centre_mean = (columns[7] + columns[8]) / (2 * n);
  const double surround_mean = surround / (n * (n - 2));
  double all[n] = {}, around[n] = {}, centre = 0.0;
  for (std::int64_t r = 0; r < n; ++r) {
    const double* row = block + r * stride;
    for (std::int64_t c = 0; c < n; ++c) {
      const double d = row[c] - mean, s = row[c] - surround_mean;
      all[c] += d * d;
      around[c] += s * s;
    }
    const double a = row[7] - centre_mean, b = row[8] - centre_mean;
    centre += a * a + b * b;
  }
  double sum = 0.0, surround_sum = 0.0;
  for (std::int64_t c = 0; c < n; ++c) {
    sum += all[c];
    if (c != 7 && c != left_out) surround_sum += around[c];
  }
  const double variance = sum / (n * n - 1);
  if (std::isnan(variance)) verdict.distortion = variance;
  verdict.active = variance > rules.activity_threshold;
  if (!verdict.active) return;

  const double threshold = rules.artifact_threshold;
  verdict.artifact = has_flat_segment(block, 1, threshold) ||
                     has_flat_segment(block + n - 1, stride, threshold) ||
                     has_flat_segment(block + (n - 1) * stride, 1, threshold) ||
                     has_flat_segment(block, stride, threshold);
  const double deviation = std::sqrt(variance);
  double ratio = std::sqrt(centre / (2 * n - 1)) / std::sqrt(surround_sum / (n * (n - 2) - 1));
  if (std::isnan(ratio)) ratio = 0.0;
  const double beta = std::fabs(deviation - ratio) / std::max(deviation, ratio);
  verdict.noise = deviation > 2.0 * beta;
  verdict.distortion = (verdict.artifact ? 1.0 - variance : 0.0) + (verdict.noise ? variance : 0.0);
}

/// Normalised rows of a strip of columns of a region, one after the other.
class PiqeScan {
 public:
  PiqeScan(const PiqeJob& job, const PiqeRules& rules, std::int64_t first, std::int64_t columns)
      : job_(job),
        rules_(rules),
        first_(first),
        columns_(columns),
        window_(MomentWindow::gaussian(7, 7.0 / 6.0)),
        pixels_(static_cast<std::size_t>(columns + 6)),
        squares_(pixels_.size()),
        ring_(static_cast<std::size_t>(7 * 3 * columns)),
        mean_(static_cast<std::size_t>(columns)),
        square_(mean_.size()) {}

  /// Reads row `row` of the region (it may lie outside) and filters it horizontally.
  void push(std::int64_t row) {
    read(row);
    const auto count = static_cast<std::int64_t>(pixels_.size());
    for (std::int64_t j = 0; j < count; ++j) squares_[j] = pixels_[j] * pixels_[j];
    double* slot = ring_.data() + pushed_ % 7 * 3 * columns_;
    std::copy_n(pixels_.data() + 3, columns_, slot);
    for (std::int64_t k = 0; k < 7; ++k) rows_[k] = pixels_.data() + k;
    add_symmetric<7>(rows_.data(), window_.taps.data(), columns_, slot + columns_);
    for (std::int64_t k = 0; k < 7; ++k) rows_[k] = squares_.data() + k;
    add_symmetric<7>(rows_.data(), window_.taps.data(), columns_, slot + 2 * columns_);
    ++pushed_;
  }

  /// Normalised values of the row three before the last one.
  void normalised(double* __restrict out) {
    for (std::int64_t k = 0; k < 7; ++k) rows_[k] = slot((pushed_ + k) % 7, 1);
    add_symmetric<7>(rows_.data(), window_.taps.data(), columns_, mean_.data());
    for (std::int64_t k = 0; k < 7; ++k) rows_[k] = slot((pushed_ + k) % 7, 2);
    add_symmetric<7>(rows_.data(), window_.taps.data(), columns_, square_.data());
    const double* value = slot((pushed_ + 3) % 7, 0);
    const double *mean = mean_.data(), *square = square_.data();
    for (std::int64_t j = 0; j < columns_; ++j) {
      out[j] = std::fabs(square[j] - mean[j] * mean[j]);
    }
    square_roots(out, columns_);
    for (std::int64_t j = 0; j < columns_; ++j) out[j] = (value[j] - mean[j]) / (out[j] + 1.0);
  }

 private:
  const double* slot(std::int64_t row, std::int64_t channel) const {
    return ring_.data() + (row * 3 + channel) * columns_;
  }

  void read(std::int64_t row) {
    const std::int64_t width = job_.image.width();
    const std::int64_t plane_row =
        piqe_index(row, job_.first_row, job_.blocks_high() * piqe_block, job_.image.height());
    const auto count = static_cast<std::int64_t>(pixels_.size());
    const std::int64_t begin = job_.first_column + first_ - 3;
    const std::int64_t left = std::clamp<std::int64_t>(-begin, 0, count);
    const std::int64_t inside = std::clamp<std::int64_t>(width - begin, left, count);
    if (inside > left) {
      job_.image.read(plane_row, begin + left, inside - left, pixels_.data() + left);
    }
    const auto outside = [&](std::int64_t j) {
      const std::int64_t column =
          piqe_index(first_ - 3 + j, job_.first_column, job_.blocks_wide() * piqe_block, width);
      job_.image.read(plane_row, column, 1, pixels_.data() + j);
    };
    for (std::int64_t j = 0; j < left; ++j) outside(j);
    for (std::int64_t j = inside; j < count; ++j) outside(j);
    const double maximum = rules_.maximum;
    if (maximum > 0.0) {
      for (double& value : pixels_) value = 255.0 * (value / maximum);
    }
    if (rules_.round) {
      for (double& value : pixels_) value = rounded(value);
    }
  }

  const PiqeJob& job_;
  const PiqeRules& rules_;
  std::int64_t first_, columns_;
  MomentWindow window_;
  std::int64_t pushed_ = 0;
  std::vector<double> pixels_, squares_, ring_, mean_, square_;
  std::array<const double*, 7> rows_{};
};

/// Whether block (row, column) counts under the job's masks.
inline bool piqe_block_counts(const PiqeJob& job, std::int64_t row, std::int64_t column) {
  const std::int64_t high = job.image.height(), wide = job.image.width();
  const std::int64_t top = row * piqe_block, left = column * piqe_block;
  if (job.mask) {
    for (std::int64_t i = top - 3; i < top + piqe_block + 3; ++i) {
      const std::int64_t y = piqe_index(i, job.first_row, job.blocks_high() * piqe_block, high);
      for (std::int64_t j = left - 3; j < left + piqe_block + 3; ++j) {
        const std::int64_t x =
            piqe_index(j, job.first_column, job.blocks_wide() * piqe_block, wide);
        if (!job.mask.at(y, x)) return false;
      }
    }
  }
  if (!job.where) return true;
  for (std::int64_t i = top; i < std::min(top + piqe_block, job.rows); ++i) {
    for (std::int64_t j = left; j < std::min(left + piqe_block, job.columns); ++j) {
      if (job.where.at(job.first_row + i, job.first_column + j)) return true;
    }
  }
  return false;
}

}  // namespace detail

/// Judges every block of every job; all jobs' regions have one size.
/// @param rules  one per job
template <class Parallel>
void piqe_blocks(const std::vector<PiqeJob>& jobs, const std::vector<PiqeRules>& rules,
                 const Parallel& parallel) {
  constexpr std::int64_t band_blocks = 8, strip_blocks = 16;
  if (jobs.empty()) return;
  const std::int64_t high = jobs[0].blocks_high(), wide = jobs[0].blocks_wide();
  const std::int64_t bands = (high + band_blocks - 1) / band_blocks;
  const auto judge = [&](std::int64_t item) {
    const PiqeJob& job = jobs[item / bands];
    const PiqeRules& rule = rules[item / bands];
    const std::int64_t begin = item % bands * band_blocks;
    const std::int64_t end = std::min(begin + band_blocks, high);
    std::vector<double> values(strip_blocks * piqe_block * piqe_block);
    for (std::int64_t first = 0; first < wide; first += strip_blocks) {
      const std::int64_t count = std::min(strip_blocks, wide - first);
      const std::int64_t columns = count * piqe_block;
      detail::PiqeScan scan(job, rule, first * piqe_block, columns);
      for (std::int64_t i = -3; i < 3; ++i) scan.push(begin * piqe_block + i);
      for (std::int64_t row = begin; row < end; ++row) {
        for (std::int64_t i = 0; i < piqe_block; ++i) {
          scan.push(row * piqe_block + i + 3);
          scan.normalised(values.data() + i * columns);
        }
        for (std::int64_t k = 0; k < count; ++k) {
          PiqeBlock& block = job.blocks[row * wide + first + k];
          block = {};
          block.counted = detail::piqe_block_counts(job, row, first + k);
          if (block.counted) {
            detail::judge_block(values.data() + k * piqe_block, columns, rule, block);
          }
        }
      }
    }
  };
  parallel(0, static_cast<std::int64_t>(jobs.size()) * bands,
           [&](std::int64_t begin, std::int64_t end) {
             for (std::int64_t item = begin; item < end; ++item) {
               in_wider_vectors([&] { judge(item); });
             }
           });
}

/// Largest valid value of a plane; minus infinity without one, NaN ignored.
inline double plane_maximum(const Plane& image, const MaskPlane& mask) {
  double maximum = -std::numeric_limits<double>::infinity();
  std::vector<double> row(static_cast<std::size_t>(image.width()));
  for (std::int64_t y = 0; y < image.height(); ++y) {
    image.read(y, 0, image.width(), row.data());
    if (mask) {
      for (std::int64_t x = 0; x < image.width(); ++x) {
        if (mask.at(y, x)) maximum = row[x] > maximum ? row[x] : maximum;
      }
      continue;
    }
    double lanes[8];
    std::fill_n(lanes, 8, maximum);
    std::int64_t x = 0;
    for (; x + 8 <= image.width(); x += 8) {
      for (int lane = 0; lane < 8; ++lane) {
        lanes[lane] = row[x + lane] > lanes[lane] ? row[x + lane] : lanes[lane];
      }
    }
    for (; x < image.width(); ++x) lanes[0] = row[x] > lanes[0] ? row[x] : lanes[0];
    for (const double lane : lanes) maximum = lane > maximum ? lane : maximum;
  }
  return maximum;
}

}  // namespace deeplight::kernels
