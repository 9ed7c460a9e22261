// Night-light practice: where on the brightness scale the errors are.
#pragma once

#include <vector>

#include "deeplight/metrics/accumulator.hpp"
#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

/// How differences become one number.
enum class ErrorStatistic { rmse, mae, bias };
DEEPLIGHT_ENUM(ErrorStatistic, {{ErrorStatistic::rmse, "rmse"},
                                {ErrorStatistic::mae, "mae"},
                                {ErrorStatistic::bias, "bias"}})

struct SaturatedCoreOptions {
  /// The level at which the coarse sensor stopped counting (63 for DMSP-OLS), in the images' units;
  /// needed. A core is every pixel whose target is at or above it.
  std::optional<double> saturation = {};
  ErrorStatistic statistic = ErrorStatistic::rmse;
  std::optional<at::Tensor> mask = {};  ///< valid pixels
  Reduction reduction = Reduction::mean;
};

/// Error over the saturated cores: what the prediction makes of light that its input could not see.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  float64, in the images' units: a scalar, or with Reduction::none one value per image.
///          NaN without a valid core pixel (such an image has no vote), or when a core pixel of the
///          prediction or any valid pixel of the target is NaN.
/// @throws InvalidArgument  shapes differ, saturation absent or not finite, mask not boolean,
///         Reduction::map
at::Tensor saturated_core_error(const at::Tensor& prediction, const at::Tensor& target,
                                const SaturatedCoreOptions& options);

struct BrightnessOptions {
  /// K + 1 ascending edges in the images' units; bin k holds targets in [edge k, edge k + 1), the
  /// last one also its upper edge. Infinite edges are allowed. Pixels outside are not counted.
  std::vector<double> edges = {};
  std::optional<at::Tensor> mask = {};  ///< valid pixels
  Reduction reduction = Reduction::pooled;
};

/// Errors per bin of brightness, [K] or with Reduction::none [..., K]; float64.
struct BrightnessErrors {
  at::Tensor count;  ///< pixels; with Reduction::mean, images that have any
  at::Tensor bias;   ///< mean of prediction - target, in the images' units; NaN in an empty bin
  at::Tensor mae;
  at::Tensor rmse;
};

/// Errors by brightness of the target.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; computed in float64
/// @param target      the same shape
/// @return  one value per bin; a NaN prediction spoils its bin, a NaN target all of them
/// @throws InvalidArgument  fewer than two edges, or not ascending; shapes differ, mask not
/// boolean,
///         Reduction::map
BrightnessErrors errors_by_brightness(const at::Tensor& prediction, const at::Tensor& target,
                                      const BrightnessOptions& options);

/// The policy of `saturated_core_error`; sums core pixels, their differences, absolute and squared.
struct SaturatedCoreError {
  using State = SumState<4>;
  static constexpr const char* name = "saturated_core_error";
  std::optional<double> saturation = {};  ///< in the images' units; needed
  ErrorStatistic statistic = ErrorStatistic::rmse;

  void check() const;
  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

/// State [N, K, 4, 2]: pixels, differences, absolute and squared ones of each bin, as sums.
struct BinState {
  static at::Tensor merge(const at::Tensor& first, const at::Tensor& second);
  static at::Tensor count(const at::Tensor& state);
};

/// The policy of `errors_by_brightness`; the score is [N, K, 4]: count, bias, MAE, RMSE.
struct ErrorsByBrightness {
  using State = BinState;
  static constexpr const char* name = "errors_by_brightness";
  std::vector<double> edges = {};  ///< K + 1, ascending; needed

  void check() const;
  at::Tensor empty() const;
  at::Tensor statistics(const Part& part) const;
  at::Tensor score(const at::Tensor& state) const;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/brightness_inl.hpp"
#endif
