// ERGAS: relative dimensionless global error in synthesis, Wald 2000 (doi:10.5281/zenodo.1202042).
#pragma once

#include "deeplight/metrics/accumulator.hpp"
#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

struct ErgasOptions {
  /// Wald's h / l: the fine cell's side over the coarse one's, 1 / scale; in (0, 1], needed. Some
  /// packages want its inverse under the same name.
  std::optional<double> ratio = {};
  std::optional<at::Tensor> mask = {};  ///< valid pixels, per band where it differs by band
  Reduction reduction = Reduction::mean;
};

/// 100 h / l sqrt(mean over bands of (RMSE / mean of the target)^2). Differentiable.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W] (one band), physical units
/// @param target      the same shape
/// @return  float64, 0 for identical images: a scalar, or with Reduction::none one value per image.
///          A band whose target has mean 0 counts 0 when reproduced exactly and makes the score
///          +inf otherwise; a band without a valid pixel is left out; NaN without any, or when a
///          valid pixel is NaN.
/// @throws InvalidArgument  shapes differ, ratio absent or outside (0, 1], mask not boolean,
///         Reduction::map
at::Tensor ergas(const at::Tensor& prediction, const at::Tensor& target,
                 const ErgasOptions& options);

/// State [N, C, 3, 2]: pixels, squared differences and light of each band, as sums.
struct BandState {
  static at::Tensor merge(const at::Tensor& first, const at::Tensor& second);
  static at::Tensor count(const at::Tensor& state);
};

/// The policy of `ergas`.
struct Ergas {
  using State = BandState;
  static constexpr const char* name = "ergas";
  std::optional<double> ratio = {};  ///< fine over coarse cell; needed
  std::int64_t bands = 1;            ///< of the images that an accumulator will see

  void check() const;
  at::Tensor empty() const;
  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/ergas_inl.hpp"
#endif
