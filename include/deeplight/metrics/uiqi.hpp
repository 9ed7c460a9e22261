// Universal image quality index: Wang and Bovik 2002, doi:10.1109/97.995823.
//
// Q = 4 cov(x, y) mean(x) mean(y) / ((var(x) + var(y)) (mean(x)^2 + mean(y)^2)) per window,
// averaged. Convention: uniform window 8x8, stride 1, windows wholly inside the image, as in the
// authors' code. No stabilising constants, so the windows where the quotient is 0/0 need a rule: on
// night lights most windows are dark on both sides, and the rule decides the score. Other packages
// by option:
//   torchmetrics: window gaussian, window_size 11, degenerate zero (its constant is the machine
//   epsilon, so windows whose product of variance and mean square is near it differ)
#pragma once

#include "deeplight/metrics/window.hpp"

namespace deeplight::metrics {

/// What a window that cannot be judged is worth: flat on both sides, or both means zero.
enum class DegenerateWindow {
  one,   ///< the authors' code: 1 where both are dark, 2ab / (a^2 + b^2) where flat at a and b
  zero,  ///< 0, what a small constant in the denominator makes of it
  skip,  ///< dropped: the score is over windows that hold structure on either side
};
DEEPLIGHT_ENUM(DegenerateWindow, {{DegenerateWindow::one, "one"},
                                  {DegenerateWindow::zero, "zero"},
                                  {DegenerateWindow::skip, "skip"}})

struct UiqiOptions {
  std::optional<at::Tensor> mask = {};   ///< valid pixels; as in SsimOptions
  std::optional<at::Tensor> where = {};  ///< window centres that count; as in SsimOptions
  Reduction reduction = Reduction::mean;
  DegenerateWindow degenerate = DegenerateWindow::one;
  std::int64_t window_size = 8;  ///< pixels; odd for a Gaussian window or a mirrored border
  WindowShape window = WindowShape::uniform;
  double sigma = 1.5;  ///< of a Gaussian window, pixels
  WindowPadding padding = WindowPadding::valid;
};
DEEPLIGHT_OPTIONS(UiqiOptions, degenerate, window_size, window, sigma, padding)

/// Mean universal quality index. Scale-free: it needs no data range. Differentiable, once more than
/// once where windows are not degenerate; degenerate ones have no gradient.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape; both sides at least `window_size` pixels high and wide
/// @return  float64 in [-1, 1]: a scalar, or with Reduction::none one value per image; 1 for
///          identical images. NaN where no window is left. (2k / (1 + k^2))^2 for (x, k x); near -1
///          for anti-correlated noise on equal means.
/// @throws InvalidArgument  shapes differ, image smaller than the window, mask or where not boolean
at::Tensor uiqi(const at::Tensor& prediction, const at::Tensor& target,
                const UiqiOptions& options = {});

/// The map that `uiqi` averages: float64 [..., H - window_size + 1, W - window_size + 1], NaN at
/// dropped windows; element (0, 0) belongs to pixel (window_size / 2, window_size / 2).
at::Tensor uiqi_map(const at::Tensor& prediction, const at::Tensor& target,
                    const UiqiOptions& options = {});

/// UIQI of an image that comes in blocks; see SsimAccumulator.
class UiqiAccumulator : public WindowMean {
 public:
  /// @throws InvalidArgument  a mirrored border. `mask`, `where`, `reduction` are not read.
  explicit UiqiAccumulator(UiqiOptions options = {});

  /// Pixels that neighbouring blocks share: window_size - 1.
  std::int64_t overlap() const { return options_.window_size - 1; }

  /// Adds every window of a block [..., h, w]; a block smaller than the window has none.
  void update(const at::Tensor& prediction, const at::Tensor& target,
              const std::optional<at::Tensor>& mask = {},
              const std::optional<at::Tensor>& where = {});

 private:
  UiqiOptions options_;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/uiqi_inl.hpp"
#endif
