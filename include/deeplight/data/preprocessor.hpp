// Physical values <-> the normalised units in which networks work.
//
// The card's `Preprocessing` says how; this is the only place that does it. A value x, of light or
// of a guide, becomes (T(x / transform_scale) - mean) / std with T one of identity, log1p, asinh.
// Invalid and non-finite pixels become 0 after normalisation, which is the mean of the training
// data, or darkness where the card keeps mean = 0.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/nn/types.hpp"
#include "deeplight/weights/card.hpp"

namespace deeplight {

/// Mean over a window x window box about each pixel, invalid pixels and the outside left out.
/// @param values  [B, C, H, W], any floating type
/// @param valid   [B or 1, C or 1, H, W] bool; undefined means everywhere valid
/// @param window  odd side of the box in pixels
/// @return        [B, C, H, W] float64; 0 where the box holds no valid pixel
/// @throws InvalidArgument  an even or non-positive window, not four dimensions
at::Tensor masked_box_mean(const at::Tensor& values, const at::Tensor& valid, std::int64_t window);

/// Normalises the inputs of a network and brings its output back to physical units.
class Preprocessor {
 public:
  /// @param preprocessing  from a card
  /// @param scale          integer factor between low-resolution and output pixels
  /// @throws InvalidArgument  a standard deviation or transform scale that is not positive, band
  ///   statistics of another count than `bands`, an even contrast window, contrast spreads that do
  ///   not fit windows and bands, a guide named twice
  Preprocessor(const Preprocessing& preprocessing, std::int64_t scale);

  /// @param values  [B, 1, h, w] physical low-resolution values
  /// @param valid   [B or 1, 1, h, w] bool; undefined means everywhere valid
  /// @return        [B, 1, h, w] float32, normalised; invalid and non-finite pixels 0
  /// @throws InvalidArgument  wrong shape; a valid value outside the domain of log1p
  at::Tensor low_resolution(const at::Tensor& values, const at::Tensor& valid = {}) const;

  /// @param name    a guide of the card
  /// @param values  [B, bands, H, W] physical values
  /// @param valid   [B or 1, bands or 1, H, W] bool; undefined means everywhere valid
  /// @return        [B, bands, H, W] float32, normalised; with contrast
  ///   [B, (1 + windows) bands, H, W]: values, then the contrasts of each window (GuideContrast),
  ///   in the order of `contrast_windows`, 0 where invalid
  /// @throws InvalidArgument  unknown guide, wrong shape; a valid value outside log1p's domain
  at::Tensor guide(const std::string& name, const at::Tensor& values,
                   const at::Tensor& valid = {}) const;

  /// Every guide of `values` by name. @throws InvalidArgument  a guide is missing or unknown.
  GuideTensors guides(const GuideTensors& values, const GuideTensors& valid = {}) const;

  /// High-resolution truth [B, 1, H, W] in the units of the network's output; invalid pixels 0.
  at::Tensor target(const at::Tensor& values, const at::Tensor& valid = {}) const;

  /// A network's image [B, 1, H, W] -> physical values, float32. Never clamps.
  at::Tensor restore(const at::Tensor& image) const;

  /// How far, in low-resolution pixels, preparing a guide pixel reaches (its contrasts).
  std::int64_t margin() const;

  /// Guides as the network sees them: with the channels of their contrasts.
  std::vector<Guide> network_guides() const;

  std::int64_t scale() const { return scale_; }
  const Preprocessing& preprocessing() const { return preprocessing_; }
  /// What the card says of a guide. @throws InvalidArgument  it names no such guide
  const GuideDescription& description(const std::string& name) const;

 private:
  Preprocessing preprocessing_;
  std::int64_t scale_;
};

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/data/preprocessor_inl.hpp"
#endif
