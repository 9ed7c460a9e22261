// Total variation of the prediction: a price on every step, wanted or not.
//
// Source: Rudin, Osher, Fatemi 1992, doi:10.1016/0167-2789(92)90242-F; the anisotropic form.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "deeplight/core/config.hpp"

namespace deeplight::losses {

/// Mean over all pairs of neighbours, along rows and columns, of |step|. It knows no truth, and its
/// least value is a constant image: a small weight against noise and checkerboards, no more.
/// @param image  [..., H, W], floating
/// @param mask   boolean, broadcasts to the shape; a pair counts where both its pixels are valid
/// @return  scalar, in the image's units; 0, with zero gradients, where there is no pair
/// @throws InvalidArgument  fewer than two dimensions, mask not boolean
at::Tensor total_variation(const at::Tensor& image, const std::optional<at::Tensor>& mask = {});

}  // namespace deeplight::losses

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/losses/total_variation_inl.hpp"
#endif
