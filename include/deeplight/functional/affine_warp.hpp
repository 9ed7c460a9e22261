// Affine warp in pixels: out(x) = image(x + clamp(linear (x - centre) + shift)), border-padded.
//
// torch's affine_grid works in coordinates normalised by the image's size, so that a warp learned
// on patches means something else on a whole raster, and identity is only approximate. Here the
// unit is the pixel, and the integer part of the displacement is split off before interpolation.
// Source: Jaderberg et al. 2015 (arXiv 1506.02025), section 3.2-3.3, in other units.
#pragma once

#include <ATen/core/Tensor.h>

#include "deeplight/core/config.hpp"

namespace deeplight::functional {

/// @param image      [B, C, H, W]
/// @param matrix     [B or 1, 2, 3], rows (x, y), columns (linear x, linear y, shift), pixels
/// @param centre_x, centre_y  where the linear part vanishes; pixel centres are integers
/// @param max_shift  each component of the displacement is clamped to [-max_shift, max_shift]
/// pixels
/// @return           [B, C, H, W]; differentiable in image and matrix
/// @throws InvalidArgument  shapes that do not fit
at::Tensor affine_warp(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                       double centre_y, double max_shift);

}  // namespace deeplight::functional

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/affine_warp_inl.hpp"
#endif
