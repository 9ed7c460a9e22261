// Absolute difference of discrete Fourier spectra.
//
// The complex form is the frequency reconstruction loss of Cho et al. 2021, arXiv 2108.05054.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight::losses {

/// What of the spectra is compared.
enum class Spectrum {
  amplitude,  ///< | |F p| - |F t| |: texture and sharpness; blind to where the lights are
  complex,    ///< |F p - F t|: phase too, every frequency of the error alike
};
DEEPLIGHT_ENUM(Spectrum, {{Spectrum::amplitude, "amplitude"}, {Spectrum::complex, "complex"}})

/// Mean over all H * W frequencies of the difference of the orthonormal two-dimensional transforms
/// (sum / sqrt(H W), no window, no weighting), so that white noise of deviation s costs about s
/// at any size.
/// @param prediction  [..., H, W], floating; half precision is computed in float32
/// @param target      the same shape
/// @param spectrum    amplitude cannot stand alone: a shifted image costs nothing
/// @param mask        boolean, broadcasts to the shape; invalid pixels are 0 in both images, so
///                    that neither value nor gradient sees what they held. A transform has no
///                    smaller support: a mask is not the same as a crop, and many holes smear both
///                    spectra alike
/// @return  scalar of the prediction's type, in the images' units; 0, with zero gradients, when
///          nothing is valid
/// @throws InvalidArgument  shapes differ, fewer than two dimensions, empty, mask not boolean
at::Tensor frequency(const at::Tensor& prediction, const at::Tensor& target,
                     Spectrum spectrum = Spectrum::amplitude,
                     const std::optional<at::Tensor>& mask = {});

}  // namespace deeplight::losses

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/losses/frequency_inl.hpp"
#endif
