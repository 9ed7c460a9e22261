// Spectral errors: how much power a prediction has at each spatial frequency, against the truth.
//
// The power spectrum is Welch's (1967, doi:10.1109/TAU.1967.1161901) in two dimensions: windows of
// size x size pixels, half overlapping, wholly inside the image, less their mean, tapered by a Hann
// window; the squared moduli of their transforms, divided by the sum of the squared taper, are
// averaged over the windows. White noise of variance v has a power of v at every frequency. Band
// k = 1 ... size / 2 is the ring of frequencies of (k - 1/2 ... k + 1/2) / size cycles per pixel;
// its power is the mean over the ring.
//
// What it rewards: the right amount of detail of each size. It is blind to where the detail is (a
// shifted image has no error): report it beside a score that is not. A blurred image lacks power in
// the last bands, a noisy one has too much.
#pragma once

#include "deeplight/metrics/window.hpp"

namespace deeplight::metrics {

/// How the bands' powers become one number.
enum class SpectralStatistic {
  relative,  ///< mean over bands of |prediction - target| / target
  log,       ///< log-spectral distance, dB: sqrt of the mean of (10 log10(prediction / target))^2
};
DEEPLIGHT_ENUM(SpectralStatistic,
               {{SpectralStatistic::relative, "relative"}, {SpectralStatistic::log, "log"}})

struct SpectralOptions {
  /// Valid pixels; a window that touches an invalid one is dropped.
  std::optional<at::Tensor> mask = {};
  std::optional<at::Tensor> where = {};   ///< only windows that hold a true pixel count
  Reduction reduction = Reduction::mean;  ///< not map
  SpectralStatistic statistic = SpectralStatistic::relative;
  std::int64_t window_size = 64;  ///< pixels, even, at least 4
};
DEEPLIGHT_OPTIONS(SpectralOptions, statistic, window_size)

/// Powers of the bands, in the images' units squared; NaN where no window is left.
struct SpectralBands {
  at::Tensor frequency;   ///< [K] float64, cycles per pixel: 1 / window_size ... 1/2
  at::Tensor prediction;  ///< [..., K] float64, or [K] with Reduction::pooled
  at::Tensor target;      ///< the same
};

/// Radially averaged power spectra of both images; reduction none (one per image) or pooled.
/// Differentiable, any device.
/// @throws InvalidArgument  as `spectral_error`; reduction mean or map
SpectralBands spectral_bands(const at::Tensor& prediction, const at::Tensor& target,
                             const SpectralOptions& options = {});

/// Error of the radially averaged power spectrum. Differentiable, any device.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64; the
///                    windows of all bands of an image are averaged
/// @param target      the same shape, both sides at least `window_size`
/// @return  float64: a scalar, or with Reduction::none one value per image. 0 for equal spectra, so
///          for identical and for two constant images. A band without power (below 2^-80 of the
///          mean square of both images) counts as 0: infinite if only the target (for `log`: only
///          one side) has none. NaN where no window is left.
/// @throws InvalidArgument  shapes differ, image smaller than the window, window_size odd or below
///         4, mask or where not boolean, reduction map
at::Tensor spectral_error(const at::Tensor& prediction, const at::Tensor& target,
                          const SpectralOptions& options = {});

/// Spectral error of an image that comes in blocks, all windows together.
class SpectralAccumulator {
 public:
  /// `mask`, `where` and `reduction` are not read.
  explicit SpectralAccumulator(SpectralOptions options = {});

  /// Blocks begin at multiples of `stride()` of the image and share `overlap()` rows and columns.
  std::int64_t stride() const { return options_.window_size / 2; }
  std::int64_t overlap() const { return options_.window_size / 2; }

  /// Adds every window of a block [..., h, w]; a block smaller than the window has none.
  void update(const at::Tensor& prediction, const at::Tensor& target,
              const std::optional<at::Tensor>& mask = {},
              const std::optional<at::Tensor>& where = {});
  /// @throws InvalidArgument  not the shape of a state of this window size
  void merge_state(const at::Tensor& state);
  void merge(const SpectralAccumulator& other) { merge_state(other.state_); }

  /// NaN without a window.
  double compute() const;
  std::int64_t count() const;

  /// [2, K + 2] float64 for the prediction and the target: sums over windows of band powers, of
  /// mean squares, and the number of windows.
  const at::Tensor& state() const { return state_; }
  void reset();

 private:
  SpectralOptions options_;
  at::Tensor state_;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/spectral_error_inl.hpp"
#endif
