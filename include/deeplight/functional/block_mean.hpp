// Block means between grids whose sides differ by an integer factor: the area average, and the step
// that makes a fine image agree with a coarse one ("what the sensor saw").
//
// Shapes: fine [..., r*h, r*w], coarse [..., h, w]. Differentiable through ATen.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight {

/// How `enforce_block_mean` removes the difference between block mean and low resolution.
enum class Consistency {
  none,            ///< leave the image as it is
  additive,        ///< the same amount to every pixel of a block; may push pixels below 0
  multiplicative,  ///< the same factor for every pixel of a block; keeps non-negativity
};
DEEPLIGHT_ENUM(Consistency, {{Consistency::none, "none"},
                             {Consistency::additive, "additive"},
                             {Consistency::multiplicative, "multiplicative"}})

namespace functional {

/// Mean over blocks of scale x scale pixels: the area average.
/// @param image  [..., r*h, r*w], floating
/// @param scale  r >= 1
/// @param valid  boolean, broadcasts to `image`; the mean is over valid pixels only, and 0 in a
/// block
///               without any
/// @return  [..., h, w]
/// @throws InvalidArgument  a side is no multiple of the scale, or the mask is not boolean
at::Tensor block_mean(const at::Tensor& image, std::int64_t scale,
                      const std::optional<at::Tensor>& valid = {});

/// Changes `image` so that its block means equal `low_resolution`, within float rounding.
/// Applying it twice changes nothing more.
/// @param image           [..., r*h, r*w], floating, physical or any linear units
/// @param low_resolution  [..., h, w] in the same units; not negative for multiplicative
/// @param scale           r >= 1
/// @param consistency     additive: image + (low_resolution - mean). multiplicative: pixels below 0
///                        are set to 0, then image * low_resolution / mean; a block that is dark
///                        where the low resolution is not is filled evenly with it
/// @param valid           boolean, broadcasts to `image`; means are over valid pixels, invalid
///                        pixels keep their values, a block without valid pixels is left alone
/// @throws InvalidArgument  shapes do not fit, or the mask is not boolean
at::Tensor enforce_block_mean(const at::Tensor& image, const at::Tensor& low_resolution,
                              std::int64_t scale,
                              Consistency consistency = Consistency::multiplicative,
                              const std::optional<at::Tensor>& valid = {});

}  // namespace functional
}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/functional/block_mean_inl.hpp"
#endif
