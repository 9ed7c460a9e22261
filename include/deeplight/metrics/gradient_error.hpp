// Gradient error: how far the slopes of the prediction are from those of the truth.
#pragma once

#include "deeplight/metrics/sharpness.hpp"

namespace deeplight::metrics {

/// How slopes are taken.
enum class GradientFilter {
  difference,  ///< to the next pixel right and below; 2 x 2
  sobel,       ///< Sobel / 8; 3 x 3
};
DEEPLIGHT_ENUM(GradientFilter,
               {{GradientFilter::difference, "difference"}, {GradientFilter::sobel, "sobel"}})

/// How the two components of the slopes' difference become one number.
enum class GradientNorm {
  l2,  ///< sqrt(dx^2 + dy^2)
  l1,  ///< |dx| + |dy|
};
DEEPLIGHT_ENUM(GradientNorm, {{GradientNorm::l2, "l2"}, {GradientNorm::l1, "l1"}})

struct GradientErrorOptions {
  std::optional<at::Tensor> mask = {};   ///< a window that touches an invalid pixel is dropped
  std::optional<at::Tensor> where = {};  ///< pixels whose windows count
  Reduction reduction = Reduction::mean;
  GradientFilter filter = GradientFilter::difference;
  GradientNorm norm = GradientNorm::l2;
};
DEEPLIGHT_OPTIONS(GradientErrorOptions, filter, norm)

/// Mean norm of grad(prediction) - grad(target), in the images' units per pixel, over windows
/// wholly inside the image. A constant offset costs nothing. Differentiable.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  float64 >= 0; 0 for identical images; NaN where no window is left (one pixel wide).
///          Reduction::map gives [..., H - 1, W - 1] (difference) or [..., H - 2, W - 2] (sobel),
///          element (0, 0) at pixel (0, 0) or (1, 1)
at::Tensor gradient_error(const at::Tensor& prediction, const at::Tensor& target,
                          const GradientErrorOptions& options = {});

/// Gradient error of an image in blocks that overlap by `overlap()` rows and columns.
class GradientErrorAccumulator : public LocalMoments {
 public:
  /// `mask`, `where` and `reduction` are not read.
  explicit GradientErrorAccumulator(GradientErrorOptions options = {});

  std::int64_t overlap() const { return options_.filter == GradientFilter::sobel ? 2 : 1; }
  void update(const at::Tensor& prediction, const at::Tensor& target,
              const std::optional<at::Tensor>& mask = {},
              const std::optional<at::Tensor>& where = {});
  double compute() const { return mean(); }

 private:
  GradientErrorOptions options_;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/gradient_error_inl.hpp"
#endif
