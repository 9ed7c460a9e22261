// How a low resolution is simulated: point spread, block mean, saturation, in this order.
//
// image [1, H, W] -> [1, H/r, W/r], physical units. The point spread is applied to the whole image,
// before any block grid is laid: it commutes with the grid's phase and needs to be done once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deeplight/core/config.hpp"

namespace deeplight {

/// A Gaussian, sampled at pixel centres up to floor(4 sigma + 0.5) pixels away.
/// @param sigma  standard deviation in pixels of the image, above 0, at most 256
/// @return       [k, k] float64, k odd, sum 1
/// @throws InvalidArgument  sigma is out of range
at::Tensor gaussian_kernel(double sigma);

/// A measured kernel, checked and normalised to sum 1.
/// @param measured  [k, l], the image of a point in the middle; odd sides, any floating type
/// @return          [k, l] float64
/// @throws InvalidArgument  an even side, a negative or non-finite entry, a sum of 0
at::Tensor point_spread_kernel(const at::Tensor& measured);

/// Convolution over valid pixels, divided by the kernel's weight on them; the outside is invalid.
/// Float64 sums, strip by strip, in two one-dimensional passes where the kernel is a product.
/// @param image   [1, H, W], any floating type
/// @param valid   [1, H, W] bool; undefined means finite pixels. Non-finite pixels are invalid
/// @param kernel  as `point_spread_kernel` takes
/// @return        [1, H, W] float32; NaN where invalid; a valid pixel of which the kernel sees none
///                stays as it is
/// @throws InvalidArgument  wrong shapes, a kernel that `point_spread_kernel` refuses
at::Tensor point_spread(const at::Tensor& image, const at::Tensor& valid, const at::Tensor& kernel);

/// The low resolution of a whole image.
/// @param target      [1, H, W] physical, H and W multiples of `scale`
/// @param valid       [1, H, W] bool; undefined means finite pixels
/// @param kernel      as `point_spread` takes; undefined: none
/// @param scale       r >= 1
/// @param saturation  values above are cut to it, physical units; 0: none
/// @return            [1, H/r, W/r] float32; NaN where a block holds no valid pixel
/// @throws InvalidArgument  wrong shapes, a negative saturation
at::Tensor simulate_low_resolution(const at::Tensor& target, const at::Tensor& valid,
                                   const at::Tensor& kernel, std::int64_t scale,
                                   double saturation = 0.0);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/data/degradation_inl.hpp"
#endif
