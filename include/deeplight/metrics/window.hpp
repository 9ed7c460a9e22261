// What the scores over sliding windows share: window options, planes of a tensor, running means.
//
// Two ways lead to a score. Where no gradient is asked for and the tensors lie on the CPU, kernels
// stream over the rows (kernels/window_scores_cpu.hpp): no image-sized temporaries, the same bits
// with any number of threads. Otherwise ATen computes it: differentiable, any device.
//
// Rasters larger than memory: an accumulator takes blocks that overlap by `overlap()` rows (and
// columns); the windows inside a block are then those that no other block has, and the sum over
// blocks is the whole image's.
#pragma once

#include <array>

#include "deeplight/kernels/plane.hpp"
#include "deeplight/kernels/window_scores_cpu.hpp"
#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

/// Weights inside a window.
enum class WindowShape { gaussian, uniform };
DEEPLIGHT_ENUM(WindowShape,
               {{WindowShape::gaussian, "gaussian"}, {WindowShape::uniform, "uniform"}})

/// What happens at the image's border.
enum class WindowPadding {
  valid,    ///< only windows wholly inside: [H - size + 1, W - size + 1]
  reflect,  ///< size / 2 pixels are mirrored first (edge not repeated): [H, W]; odd sizes only
};
DEEPLIGHT_ENUM(WindowPadding,
               {{WindowPadding::valid, "valid"}, {WindowPadding::reflect, "reflect"}})

/// A mean over windows that grows: sums in two doubles, so that the order of blocks does not show.
class WindowMean {
 public:
  void add(const kernels::ExactSum& sum, std::int64_t count) {
    sum_.add(sum);
    count_ += count;
  }
  void merge(const WindowMean& other) { add(other.sum_, other.count_); }
  /// Forgets everything seen.
  void reset() { *this = WindowMean(); }

  /// The mean over all windows so far; NaN without one.
  double compute() const { return sum_.value() / static_cast<double>(count_); }
  std::int64_t count() const { return count_; }

  /// (high, low, count): what another process needs; counts are exact up to 2^53.
  std::array<double, 3> state() const {
    return {sum_.high(), sum_.low(), static_cast<double>(count_)};
  }
  void load_state(const std::array<double, 3>& state) {
    sum_ = kernels::ExactSum::restored(state[0], state[1]);
    count_ = static_cast<std::int64_t>(state[2]);
  }

 private:
  kernels::ExactSum sum_;
  std::int64_t count_ = 0;
};

namespace detail {

/// A window with its border rule, and the metric's name for messages.
struct WindowRule {
  const char* metric;
  WindowShape shape;
  std::int64_t size;
  double sigma;
  WindowPadding padding;

  std::int64_t border() const { return padding == WindowPadding::reflect ? size / 2 : 0; }
  kernels::MomentWindow moments() const {
    return shape == WindowShape::gaussian ? kernels::MomentWindow::gaussian(size, sigma)
                                          : kernels::MomentWindow::uniform(size);
  }
};

/// Raises unless the image is a real, not empty tensor of at least two dimensions.
void check_image(const char* metric, const at::Tensor& image);

/// Number and shape of a batch of images; pooled: one.
struct ImageBatch {
  std::int64_t images = 1;
  std::vector<std::int64_t> shape;
};
ImageBatch image_batch(const at::Tensor& image, Reduction reduction);

/// Raises unless the rule makes sense and the image [..., H, W] holds at least one window.
void check_window(const WindowRule& rule, const at::Tensor& image);

/// True where kernels may run: CPU, strided, no gradient wanted of either.
bool kernels_apply(const at::Tensor& a, const at::Tensor& b);

/// [..., H, W] as [N, H, W]; a view where strides allow.
at::Tensor as_planes(const at::Tensor& tensor);

/// Plane `index` of [N, H, W], any real type.
kernels::Plane plane_of(const at::Tensor& planes, std::int64_t index, std::int64_t border = 0);

/// The same for a boolean tensor; an undefined one gives an empty plane.
kernels::MaskPlane mask_plane_of(const at::Tensor& planes, std::int64_t index,
                                 std::int64_t border = 0);

/// Sums of a batch of planes.
struct WindowSums {
  std::vector<kernels::ExactSum> sums;  ///< one per plane
  std::vector<std::int64_t> counts;
};

/// Runs a kernel score over every plane of a pair that passed `check_window`.
/// @param map  double [N, H', W'] to fill, or undefined
template <class Score>
WindowSums window_sums(const WindowRule& rule, const Score& score, const at::Tensor& prediction,
                       const at::Tensor& target, const std::optional<at::Tensor>& mask,
                       const std::optional<at::Tensor>& where, const at::Tensor& map);

/// An uninitialised map of the windows of an image: double [..., H', W'].
at::Tensor empty_map(const WindowRule& rule, const at::Tensor& image);

/// Sums of planes -> scores of images under a reduction.
at::Tensor reduce_windows(const WindowSums& sums, const at::Tensor& image, Reduction reduction);

/// The map's values and which count -> scores of images; the differentiable way.
at::Tensor reduce_map(const at::Tensor& values, const at::Tensor& counted, const at::Tensor& image,
                      Reduction reduction);

/// An image, or with WindowPadding::reflect the image with its mirrored border; any real type but
/// integers and booleans.
at::Tensor bordered(const WindowRule& rule, const at::Tensor& image);

/// Separable window filter over the last two dimensions; differentiable, any device.
at::Tensor filter_valid(const at::Tensor& image, const std::vector<double>& weights);

/// True where a window of valid pixels only stands.
at::Tensor windows_all_valid(const at::Tensor& valid, std::int64_t size);

/// Centres of windows: `where` cropped to the map's size.
at::Tensor window_centres(const WindowRule& rule, const at::Tensor& where);

/// Moments of windows, differentiable: means, mean of x^2 + y^2, mean of x*y.
struct WindowMoments {
  at::Tensor mean_x, mean_y, squares, product;
  at::Tensor counted;  ///< boolean; undefined when every window counts
};
WindowMoments window_moments(const WindowRule& rule, const at::Tensor& prediction,
                             const at::Tensor& target, const std::optional<at::Tensor>& mask,
                             const std::optional<at::Tensor>& where);

}  // namespace detail
}  // namespace deeplight::metrics

#include "deeplight/metrics/window_sums.hpp"

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/window_inl.hpp"
#endif
