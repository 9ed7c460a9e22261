// Night-light practice: how much of the light arrived, and whether it is lit where it should be.
#pragma once

#include "deeplight/metrics/accumulator.hpp"
#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

/// Sum of light in the prediction over sum of light in the target. Differentiable.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; summed in float64
/// @param target      the same shape
/// @return  float64, 1 when all light is kept: a scalar, or with Reduction::none one value per
///          image. 1 where both sums are zero, +-inf where only the target's is; NaN without a
///          valid pixel, or when a valid pixel is NaN. Pooled is the ratio of the batch's sums, the
///          figure to report.
/// @throws InvalidArgument  shapes differ, the mask is not boolean, Reduction::map
at::Tensor total_light_ratio(const at::Tensor& prediction, const at::Tensor& target,
                             const Options& options = {});

struct LitOptions {
  /// A pixel is lit when strictly brighter, on both sides; in the images' units, needed. A network
  /// leaves small positive values in the dark, all of them lit at 0.
  std::optional<double> threshold = {};
  std::optional<at::Tensor> mask = {};  ///< valid pixels
  Reduction reduction = Reduction::mean;
};

/// Share of the prediction's lit pixels that are lit in the target.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type
/// @param target      the same shape
/// @return  float64 in [0, 1]: a scalar, or with Reduction::none one value per image. 1 where
///          neither side has a lit pixel, 0 where only one has. NaN without a valid pixel, or when
///          a valid pixel is NaN.
/// @throws InvalidArgument  shapes differ, threshold absent or not finite, mask not boolean,
///         Reduction::map
at::Tensor lit_precision(const at::Tensor& prediction, const at::Tensor& target,
                         const LitOptions& options);

/// Share of the target's lit pixels that are lit in the prediction; else as `lit_precision`.
at::Tensor lit_recall(const at::Tensor& prediction, const at::Tensor& target,
                      const LitOptions& options);

/// Harmonic mean of precision and recall (Dice); else as `lit_precision`.
at::Tensor lit_f1(const at::Tensor& prediction, const at::Tensor& target,
                  const LitOptions& options);

/// The policy of `total_light_ratio`; sums pixels and the light of both sides.
struct TotalLightRatio {
  using State = SumState<3>;
  static constexpr const char* name = "total_light_ratio";
  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

/// Which count stands below the line of a lit score.
enum class LitStatistic { precision, recall, f1 };

namespace detail {

/// @throws InvalidArgument  absent or not finite
void check_threshold(const char* metric, const std::optional<double>& threshold);
at::Tensor lit_statistics(const Part& part, double threshold);
at::Tensor lit_score(const at::Tensor& state, LitStatistic statistic);

}  // namespace detail

/// The policies of `lit_precision`, `lit_recall` and `lit_f1`; sums pixels, pixels lit on both
/// sides, in the prediction, in the target, and pixels that are NaN.
template <LitStatistic statistic>
struct LitScore {
  using State = SumState<5>;
  static constexpr const char* name = statistic == LitStatistic::precision ? "lit_precision"
                                      : statistic == LitStatistic::recall  ? "lit_recall"
                                                                           : "lit_f1";
  std::optional<double> threshold = {};  ///< in the images' units; needed

  void check() const { detail::check_threshold(name, threshold); }
  at::Tensor statistics(const Part& part) const { return detail::lit_statistics(part, *threshold); }
  at::Tensor score(const at::Tensor& state) const { return detail::lit_score(state, statistic); }
};

using LitPrecision = LitScore<LitStatistic::precision>;
using LitRecall = LitScore<LitStatistic::recall>;
using LitF1 = LitScore<LitStatistic::f1>;

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/light_inl.hpp"
#endif
