// The nearest non-negative image whose block means are given.
//
// Per block the Euclidean projection onto {x >= 0, mean x = m}: sort, subtract one threshold, cut
// at zero (Held, Wolfe and Crowder 1974; Duchi et al. 2008, doi:10.1145/1390156.1390191, figure 1).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deeplight/core/config.hpp"

namespace deeplight {

/// @param image           [..., r*h, r*w], floating
/// @param low_resolution  [..., h, w], the means; not negative
/// @return  [..., r*h, r*w]: at least 0; block means equal within float rounding; an image that has
///          both already is unchanged
at::Tensor non_negative_block_mean(const at::Tensor& image, const at::Tensor& low_resolution,
                                   std::int64_t scale);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/non_negative_inl.hpp"
#endif
