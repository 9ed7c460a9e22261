// Affine warps: in pixels, as the networks of this library use them, and in torch's normalised
// coordinates. Neither builds a grid.
//
// torch's affine_grid works in coordinates normalised by the image's size, so that a warp learned
// on patches means something else on a whole raster, and identity is only approximate. In
// `pixel_warp` the unit is the pixel, and the integer part of the displacement is split off before
// interpolation. Source: Jaderberg et al. 2015 (arXiv 1506.02025), section 3.2-3.3.
#pragma once

#include <ATen/core/Tensor.h>

#include <limits>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/kernels/affine_warp_cpu.hpp"

namespace deeplight::functional {

using kernels::WarpPadding;

/// out(x) = image(x + clamp(linear (x - centre) + shift)), bilinear.
///
/// @param image      [B, C, H, W], any layout; a channels-last image gives a channels-last output
/// @param matrix     [B or 1, 2, 3], rows (x, y), columns (linear x, linear y, shift), pixels
/// @param centre_x, centre_y  where the linear part vanishes; pixel centres are integers
/// @param max_shift  each component of the displacement is clamped to [-max_shift, max_shift]
/// pixels; may be infinite
/// @param size       rows and columns of the output; empty: the image's
/// @return           [B, C, rows, columns]; differentiable once, in image and matrix. A NaN
/// displacement samples 0.
/// @throws InvalidArgument  shapes that do not fit
at::Tensor pixel_warp(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                      double centre_y, double max_shift, WarpPadding padding = WarpPadding::border,
                      const std::vector<std::int64_t>& size = {});

/// grid_sample(image, affine_grid(theta, size, align_corners), "bilinear", padding, align_corners).
///
/// @param theta  [B or 1, 2, 3], from output to image, in coordinates from -1 to 1
/// @param size   rows and columns of the output; empty: the image's
/// @param padding  a reflection is about edges, or about pixel centres with align_corners
at::Tensor affine_warp(const at::Tensor& image, const at::Tensor& theta,
                       const std::vector<std::int64_t>& size = {},
                       WarpPadding padding = WarpPadding::zeros, bool align_corners = false);

/// `pixel_warp` from plain ATen operations: slow, the oracle of the kernels.
at::Tensor pixel_warp_reference(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                                double centre_y, double max_shift,
                                WarpPadding padding = WarpPadding::border,
                                const std::vector<std::int64_t>& size = {});

}  // namespace deeplight::functional

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/affine_warp_inl.hpp"
#endif
