// Absolute difference of finite differences: edges where the truth has them, and only there.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "deeplight/core/config.hpp"

namespace deeplight::losses {

/// Mean over all pairs of neighbours, along rows and columns, of |step in prediction - step in
/// target|. A constant offset costs nothing: pair it with a loss that sees levels.
/// @param prediction  [..., H, W], floating
/// @param target      the same shape
/// @param mask        boolean, broadcasts to the shape; a pair counts where both its pixels are
///                    valid
/// @return  scalar, in the images' units; 0, with zero gradients, where there is no pair
/// @throws InvalidArgument  shapes differ, fewer than two dimensions, mask not boolean
at::Tensor gradient(const at::Tensor& prediction, const at::Tensor& target,
                    const std::optional<at::Tensor>& mask = {});

namespace detail {

/// Mean over the pairs of neighbours of |step|; `valid` is boolean of the image's shape.
at::Tensor mean_absolute_step(const at::Tensor& image, const std::optional<at::Tensor>& valid);

}  // namespace detail
}  // namespace deeplight::losses

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/losses/gradient_inl.hpp"
#endif
