// Agreement of the prediction's block means with what the coarse sensor saw.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "deeplight/core/config.hpp"
#include "deeplight/losses/pixel_loss.hpp"

namespace deeplight::losses {

/// pixel_loss(block means of the prediction, low resolution). The softer sibling of
/// `functional::enforce_block_mean`: it teaches the balance of light instead of imposing it.
/// @param prediction      [B, C, r*h, r*w], floating, in linear units: block means of a logarithm
///                        are no radiance
/// @param low_resolution  [B, C, h, w] in the same units
/// @param options         of the pixel loss; lit means low resolution > light_threshold
/// @param mask            boolean, broadcasts to the prediction: block means are over valid pixels,
///                        and a block weighs its valid fraction
/// @param coarse_mask     boolean, broadcasts to the low resolution, where that one is known
/// @return  scalar; 0, with zero gradients, when nothing is valid
/// @throws InvalidArgument  the sides are not multiples by one integer, or a mask is not boolean
at::Tensor radiance_consistency(const at::Tensor& prediction, const at::Tensor& low_resolution,
                                const PixelLossOptions& options = {},
                                const std::optional<at::Tensor>& mask = {},
                                const std::optional<at::Tensor>& coarse_mask = {});

}  // namespace deeplight::losses

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/losses/radiance_consistency_inl.hpp"
#endif
