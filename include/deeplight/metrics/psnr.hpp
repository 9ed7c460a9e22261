// Peak signal-to-noise ratio in decibels: 10 log10(R^2 / MSE).
#pragma once

#include "deeplight/metrics/accumulator.hpp"
#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

struct PsnrOptions {
  std::optional<double> data_range = {};  ///< peak R in the images' units; needed, never guessed
  std::optional<at::Tensor> mask = {};    ///< valid pixels
  Reduction reduction = Reduction::mean;
};

/// Peak signal-to-noise ratio, dB. Differentiable where the images differ.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  float64: a scalar, or with Reduction::none one value per image. +inf for identical
///          images; NaN without a valid pixel, or when a valid pixel is NaN. The mean reduction
///          averages decibels; the pooled one takes one MSE over everything.
/// @throws InvalidArgument  shapes differ, data_range absent or not above 0, mask not boolean,
///         Reduction::map
at::Tensor psnr(const at::Tensor& prediction, const at::Tensor& target, const PsnrOptions& options);

/// The policy of `psnr`; sums pixels and squared differences.
struct Psnr {
  using State = SumState<2>;
  static constexpr const char* name = "psnr";
  std::optional<double> data_range = {};  ///< peak in the images' units; needed

  void check() const { detail::check_data_range(name, data_range); }
  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/psnr_inl.hpp"
#endif
