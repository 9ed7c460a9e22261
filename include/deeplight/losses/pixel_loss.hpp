// Losses of single pixels: absolute, squared, Charbonnier; with validity and light-aware weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight::losses {

/// What a difference d between prediction and target costs.
enum class PixelLoss {
  l1,           ///< |d|: aims at the median, which on sparse lights is darkness
  mse,          ///< d^2: aims at the mean, keeps the total light
  charbonnier,  ///< sqrt(d^2 + epsilon^2): smooth |d|
};
DEEPLIGHT_ENUM(PixelLoss, {{PixelLoss::l1, "l1"},
                           {PixelLoss::mse, "mse"},
                           {PixelLoss::charbonnier, "charbonnier"}})

struct PixelLossOptions {
  PixelLoss kind = PixelLoss::l1;
  double epsilon = 1e-3;         ///< of Charbonnier, in the images' units
  double light_weight = 0.0;     ///< a lit pixel weighs 1 + light_weight; unlit pixels weigh 1
  double light_threshold = 0.0;  ///< lit means target > threshold, in the images' units
};
DEEPLIGHT_OPTIONS(PixelLossOptions, kind, epsilon, light_weight, light_threshold)

/// Weighted mean of the pixels' losses: sum(w * loss) / sum(w).
/// @param prediction  [B, C, H, W], floating
/// @param target      the same shape
/// @param weight      broadcasts to the shape: a boolean validity mask, or shares >= 0 such as the
///                    valid fraction of a coarse pixel. Weight 0 excludes: neither the value nor
///                    the gradient sees the pixel, be it NaN
/// @return  scalar of the prediction's type; 0, with zero gradients, when nothing has weight
/// @throws InvalidArgument  shapes differ, or an option is out of range
at::Tensor pixel_loss(const at::Tensor& prediction, const at::Tensor& target,
                      const PixelLossOptions& options = {},
                      const std::optional<at::Tensor>& weight = {});

/// Mean absolute difference. See `pixel_loss`.
inline at::Tensor l1(const at::Tensor& prediction, const at::Tensor& target,
                     const std::optional<at::Tensor>& weight = {}, double light_weight = 0.0) {
  return pixel_loss(prediction, target, {.kind = PixelLoss::l1, .light_weight = light_weight},
                    weight);
}

/// Mean squared difference. See `pixel_loss`.
inline at::Tensor mse(const at::Tensor& prediction, const at::Tensor& target,
                      const std::optional<at::Tensor>& weight = {}, double light_weight = 0.0) {
  return pixel_loss(prediction, target, {.kind = PixelLoss::mse, .light_weight = light_weight},
                    weight);
}

/// Mean of sqrt(d^2 + epsilon^2); Charbonnier et al. 1994, doi:10.1109/ICIP.1994.413553.
inline at::Tensor charbonnier(const at::Tensor& prediction, const at::Tensor& target,
                              const std::optional<at::Tensor>& weight = {},
                              double light_weight = 0.0, double epsilon = 1e-3) {
  return pixel_loss(
      prediction, target,
      {.kind = PixelLoss::charbonnier, .epsilon = epsilon, .light_weight = light_weight}, weight);
}

namespace detail {

/// sum(w * values) / sum(w), 0 when the weights are all 0. `weight` has the shape of `values`.
at::Tensor weighted_mean(const at::Tensor& values, const at::Tensor& weight);

/// `weight` in the image's type and shape. @throws InvalidArgument  it does not broadcast
at::Tensor expand_weight(const at::Tensor& weight, const at::Tensor& image);

/// A boolean mask in the image's shape. @throws InvalidArgument  not boolean, or another shape
at::Tensor valid_pixels(const char* loss, const at::Tensor& mask, const at::Tensor& image);

/// Half precision becomes float32, whose sums over an image are sound; the rest is left alone.
at::Tensor at_least_single(const at::Tensor& image);

}  // namespace detail
}  // namespace deeplight::losses

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/losses/pixel_loss_inl.hpp"
#endif
