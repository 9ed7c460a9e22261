// Scores of a single image: entropy, average gradient, variance of the Laplacian.
//
// All three grow with detail and with noise alike: noise added to any image raises them. They say
// how much an image varies, never whether it is right; report them beside a full-reference score.
#pragma once

#include <array>
#include <vector>

#include "deeplight/kernels/local_operators_cpu.hpp"
#include "deeplight/metrics/window.hpp"

namespace deeplight::metrics {

struct EntropyOptions {
  std::optional<double> data_range = {};  ///< bins divide [0, data_range]; needed, never guessed
  std::optional<at::Tensor> mask = {};
  Reduction reduction = Reduction::mean;  ///< not map
  std::int64_t bins = 256;
};
DEEPLIGHT_OPTIONS(EntropyOptions, bins)

/// Shannon entropy of the histogram of an image, in bits. scikit-image's shannon_entropy for 8-bit
/// images with data_range 255.
/// @param image  [..., C, H, W], [C, H, W] or [H, W], any real type; values outside [0, data_range]
///               go to the end bins; the bands of an image share a histogram
/// @return  float64 in [0, log2(bins)]; 0 for a constant image; NaN without a valid pixel or with a
///          NaN among them
/// @throws InvalidArgument  data_range absent or not above 0, bins below 1, reduction map
at::Tensor entropy(const at::Tensor& image, const EntropyOptions& options);

/// Options of scores from local differences.
struct LocalOptions {
  std::optional<at::Tensor> mask = {};   ///< a window that touches an invalid pixel is dropped
  std::optional<at::Tensor> where = {};  ///< pixels whose windows count
  Reduction reduction = Reduction::mean;
};

/// Average gradient: mean of sqrt((dx^2 + dy^2) / 2), differences to the right and below, over
/// windows of 2 x 2 wholly inside the image. Units per pixel.
/// @param image  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @return  float64; 0 for a constant image; NaN where no window is left (one pixel wide or high);
///          Reduction::map gives [..., H - 1, W - 1], element (0, 0) at pixel (0, 0)
at::Tensor average_gradient(const at::Tensor& image, const LocalOptions& options = {});

/// Population variance of the Laplacian (0 1 0, 1 -4 1, 0 1 0) over windows of 3 x 3 wholly inside
/// the image. OpenCV's Laplacian(...).var() mirrors the border instead: equal in the interior.
/// @return  float64, units squared; 0 for a constant image or a plane; NaN where no window is left;
///          Reduction::map gives the Laplacian itself, [..., H - 2, W - 2], (0, 0) at pixel (1, 1)
at::Tensor laplacian_variance(const at::Tensor& image, const LocalOptions& options = {});

namespace detail {

/// Sums of a local operator over the planes of an image, or of a difference.
struct LocalSums {
  std::vector<kernels::ExactSum> sums, squares;  ///< one per plane
  std::vector<std::int64_t> counts;
  at::Tensor map;  ///< [..., H', W'] if asked for
};
LocalSums local_sums(const char* metric, const at::Tensor& image,
                     const std::optional<at::Tensor>& other, const LocalOptions& options,
                     kernels::LocalOperator op, bool absolute, double weight, bool map);

/// Means of planes -> scores of images.
at::Tensor reduce_local(const LocalSums& sums, const at::Tensor& image, Reduction reduction,
                        bool variance);

}  // namespace detail

/// Sums over the windows of a local operator that grow.
class LocalMoments {
 public:
  void add(const detail::LocalSums& sums);
  void merge(const LocalMoments& other);
  /// Forgets everything seen.
  void reset() { *this = {}; }

  /// NaN without a window.
  double mean() const { return sum_.value() / static_cast<double>(count_); }
  double variance() const;
  std::int64_t count() const { return count_; }

  /// (sum high, low, squares high, low, count), and back.
  std::array<double, 5> state() const;
  void load_state(const std::array<double, 5>& state);

 private:
  kernels::ExactSum sum_, squares_;
  std::int64_t count_ = 0;
};

/// Average gradient of an image in blocks that overlap by one row and column.
class AverageGradientAccumulator : public LocalMoments {
 public:
  static constexpr std::int64_t overlap() { return 1; }
  void update(const at::Tensor& image, const std::optional<at::Tensor>& mask = {},
              const std::optional<at::Tensor>& where = {});
  double compute() const { return mean(); }
};

/// Variance of the Laplacian of an image in blocks that overlap by two rows and columns.
class LaplacianVarianceAccumulator : public LocalMoments {
 public:
  static constexpr std::int64_t overlap() { return 2; }
  void update(const at::Tensor& image, const std::optional<at::Tensor>& mask = {},
              const std::optional<at::Tensor>& where = {});
  double compute() const { return variance(); }
};

/// Entropy of an image in blocks that do not overlap.
class EntropyAccumulator {
 public:
  /// @throws InvalidArgument  as `entropy`. `mask` and `reduction` are not read.
  explicit EntropyAccumulator(EntropyOptions options);

  void update(const at::Tensor& image, const std::optional<at::Tensor>& mask = {});
  void merge(const EntropyAccumulator& other);
  /// Forgets everything seen.
  void reset() { bins_.assign(bins_.size(), 0); }
  /// NaN without a pixel or with a NaN among them.
  double compute() const;
  std::int64_t count() const;

  /// Pixels of each bin, then NaN pixels.
  const std::vector<std::int64_t>& state() const { return bins_; }
  /// @throws InvalidArgument  not as many numbers
  void load_state(const std::vector<std::int64_t>& state);

 private:
  EntropyOptions options_;
  std::vector<std::int64_t> bins_;
};
}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/sharpness_inl.hpp"
#endif
