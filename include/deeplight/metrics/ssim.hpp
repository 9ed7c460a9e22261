// Structural similarity: Wang, Bovik, Sheikh, Simoncelli 2004, doi:10.1109/TIP.2003.819861.
//
// Convention: Gaussian window 11x11, sigma 1.5, population moments, only windows that lie wholly
// inside the image ("valid"), no downsampling first, channels averaged. Other packages by option:
//   scikit-image, gaussian_weights=True, sigma=1.5, use_sample_covariance=False: the default
//   scikit-image as it comes: window uniform, window_size 7, sample_covariance
//   torchmetrics: padding reflect (it averages the full map)
#pragma once

#include "deeplight/metrics/window.hpp"

namespace deeplight::metrics {

struct SsimOptions {
  std::optional<double> data_range = {};  ///< peak R in the images' units; needed, never guessed
  /// Valid pixels. A window that touches an invalid pixel is dropped, as if the image ended there.
  std::optional<at::Tensor> mask = {};
  /// Window centres that count, in the image's shape or broadcast to it. This weighs the finished
  /// map and leaves the windows whole: with where = lit_mask(target), the "lit SSIM", a window is
  /// counted for its lit centre although most of its pixels may be dark.
  std::optional<at::Tensor> where = {};
  Reduction reduction = Reduction::mean;
  std::int64_t window_size = 11;  ///< odd (uniform without border: any), pixels
  double sigma = 1.5;             ///< of the Gaussian window, pixels
  double k1 = 0.01;
  double k2 = 0.03;
  WindowShape window = WindowShape::gaussian;
  WindowPadding padding = WindowPadding::valid;
  bool sample_covariance = false;  ///< moments times N / (N - 1), N = window_size^2
};
DEEPLIGHT_OPTIONS(SsimOptions, window_size, sigma, k1, k2, window, padding, sample_covariance)

/// Mean structural similarity. Differentiable, twice.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape; both sides at least `window_size` pixels high and wide
/// @return  float64 in [-1, 1]: a scalar, or with Reduction::none one value per image; 1 for
///          identical images. Pooled is the mean over all windows of the batch. NaN where no window
///          is left. Note that dark windows on both sides score 1: on night lights with 95 % dark
///          pixels the whole-image value says little, and `where` is the one to report.
/// @throws InvalidArgument  shapes differ, data_range absent or not above 0, image smaller than the
///         window, window even, mask or where not boolean
at::Tensor ssim(const at::Tensor& prediction, const at::Tensor& target, const SsimOptions& options);

/// The map that `ssim` averages: one value per window centre.
/// @return  float64 [..., H - window_size + 1, W - window_size + 1]; element (0, 0) belongs to
///          pixel (window_size / 2, window_size / 2). [..., H, W] with a mirrored border. NaN at
///          dropped windows; `where` and `reduction` are not read.
at::Tensor ssim_map(const at::Tensor& prediction, const at::Tensor& target,
                    const SsimOptions& options);

/// SSIM of an image that comes in blocks. Blocks are rectangles that overlap by `overlap()` rows
/// and columns: block i covers windows of its own, and nobody else's. One value over all of them.
class SsimAccumulator : public WindowMean {
 public:
  /// @throws InvalidArgument  data_range absent, a mirrored border (a block has none), or a bad
  ///         window. `mask`, `where` and `reduction` of the options are not read.
  explicit SsimAccumulator(SsimOptions options);

  /// Pixels that neighbouring blocks share: window_size - 1.
  std::int64_t overlap() const { return options_.window_size - 1; }

  /// Adds every window of a block [..., h, w]; a block smaller than the window has none.
  void update(const at::Tensor& prediction, const at::Tensor& target,
              const std::optional<at::Tensor>& mask = {},
              const std::optional<at::Tensor>& where = {});

 private:
  SsimOptions options_;
};

namespace detail {

/// Sums of SSIM (or of its contrast and structure term alone) over the planes; CPU, no gradient.
WindowSums ssim_sums(const at::Tensor& prediction, const at::Tensor& target,
                     const SsimOptions& options, bool luminance, const at::Tensor& map);

/// The map, differentiable, and which of its windows count (undefined: all).
struct SsimMap {
  at::Tensor values;
  at::Tensor counted;
};
SsimMap differentiable_ssim_map(const at::Tensor& prediction, const at::Tensor& target,
                                const SsimOptions& options, bool luminance);

/// SSIM, or with luminance = false the mean of its contrast and structure term.
at::Tensor ssim_or_contrast(const at::Tensor& prediction, const at::Tensor& target,
                            const SsimOptions& options, bool luminance);

}  // namespace detail
}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/ssim_inl.hpp"
#endif
