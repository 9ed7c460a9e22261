// Peak signal-to-noise ratio in decibels: 10 log10(R^2 / MSE).
#pragma once

#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

struct PsnrOptions {
  std::optional<double> data_range = {};  ///< peak R in the images' units; needed, never guessed
  std::optional<at::Tensor> mask = {};    ///< valid pixels
  Reduction reduction = Reduction::mean;
};

/// Peak signal-to-noise ratio, dB.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  float64: a scalar, or with Reduction::none one value per image. +inf for identical
///          images; NaN without a valid pixel, or when a valid pixel is NaN. The mean reduction
///          averages decibels; the pooled one takes one MSE over everything.
/// @throws InvalidArgument  shapes differ, data_range absent or not above 0, mask not boolean
at::Tensor psnr(const at::Tensor& prediction, const at::Tensor& target, const PsnrOptions& options);

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/psnr_inl.hpp"
#endif
