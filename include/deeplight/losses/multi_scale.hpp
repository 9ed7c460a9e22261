// A pixel loss on every level of a pyramid, against area averages of the fine target.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "deeplight/losses/pixel_loss.hpp"

namespace deeplight::losses {

/// One level's share of a pyramid loss.
struct MultiScaleTerms {
  at::Tensor total;                ///< scalar, sum of beta_j * levels[j]
  std::vector<at::Tensor> levels;  ///< scalars, coarse to fine, before weighting
};

/// Weights of a pyramid of `levels` levels: the last entries of `beta`, scaled so that they sum to
/// what all of `beta` sums to. A shorter pyramid (scale 2 or 4) keeps its finest levels' weights.
/// @throws InvalidArgument  more levels than weights, a negative weight, or a zero sum
std::vector<double> pyramid_weights(const std::vector<double>& beta, std::size_t levels);

/// Sum over levels of beta_j * pixel_loss(pyramid_j, area average of target to the size of j).
/// @param pyramid  coarse to fine, each [B, 1, H/k, W/k] with integer k; the finest usually k = 1
/// @param target   [B, 1, H, W]
/// @param beta     one weight per level, coarse to fine; see `pyramid_weights`
/// @param options  of the pixel loss, the same at every level
/// @param mask     boolean, broadcasts to the target; area averages are over valid pixels, and a
///                 coarse pixel weighs its valid fraction
/// @throws InvalidArgument  a level's size does not divide the target's, or no level is given
MultiScaleTerms multi_scale(const std::vector<at::Tensor>& pyramid, const at::Tensor& target,
                            const std::vector<double>& beta, const PixelLossOptions& options = {},
                            const std::optional<at::Tensor>& mask = {});

}  // namespace deeplight::losses

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/losses/multi_scale_inl.hpp"
#endif
