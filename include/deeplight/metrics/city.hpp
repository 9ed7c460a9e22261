// City-level regression: sums of lights by zone, prediction against truth.
#pragma once

#include <optional>

#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

/// Sums of lights of zones, all [Z].
struct ZoneSums {
  at::Tensor labels;      ///< int64, ascending
  at::Tensor count;       ///< valid pixels, float64
  at::Tensor prediction;  ///< sum of lights, float64
  at::Tensor target;
};

/// The straight line prediction = intercept + slope * target through the zones' sums of lights.
struct CityRegression {
  at::Tensor r2;         ///< square of Pearson's correlation; 0 where either side is constant
  at::Tensor slope;      ///< 1 is right; NaN where the targets' sums are all equal (or one zone)
  at::Tensor intercept;  ///< 0 is right; NaN with the slope
  at::Tensor zones;      ///< zones that have a valid pixel
};

/// Sums of lights of every zone with a label above 0, over all images of a batch.
/// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type; summed in float64
/// @param target      the same shape
/// @param zones       integers, broadcast to that shape: the label of each pixel's zone (a city, a
///                    district), 0 or below for none
/// @param mask        valid pixels
/// @throws InvalidArgument  shapes differ, zones are no integers, the mask is not boolean
ZoneSums zone_sums(const at::Tensor& prediction, const at::Tensor& target, const at::Tensor& zones,
                   const std::optional<at::Tensor>& mask = std::nullopt);

/// Regression of the prediction's sums of lights on the target's, over zones with a valid pixel.
/// Equals the coefficient that studies of light and GDP or population report. NaN without a zone,
/// or when a sum is NaN. Arguments and errors as `zone_sums`.
CityRegression city_regression(const at::Tensor& prediction, const at::Tensor& target,
                               const at::Tensor& zones,
                               const std::optional<at::Tensor>& mask = std::nullopt);

/// Sums of lights over blocks of a raster. State [Z, 3, 2], float64: pixels and both sums of lights
/// of each zone.
class ZoneAccumulator {
 public:
  /// @param labels  [Z] int64, ascending; pixels of other zones are not counted
  /// @throws InvalidArgument  no label, or not ascending
  explicit ZoneAccumulator(at::Tensor labels);

  /// The labels 1, 2, ..., `zones`.
  explicit ZoneAccumulator(std::int64_t zones);

  /// Arguments and errors as `zone_sums`.
  void update(const at::Tensor& prediction, const at::Tensor& target, const at::Tensor& zones,
              const std::optional<at::Tensor>& mask = std::nullopt);
  void merge(const ZoneAccumulator& other);
  /// @throws InvalidArgument  not the shape of this accumulator's state
  void merge_state(const at::Tensor& state);
  ZoneSums sums() const;
  CityRegression compute() const;
  void reset();

  const at::Tensor& labels() const { return labels_; }
  const at::Tensor& state() const { return state_; }
  /// @throws InvalidArgument  not the shape of this accumulator's state
  void set_state(const at::Tensor& state);

 private:
  void check_state(const at::Tensor& state) const;

  at::Tensor labels_;
  at::Tensor state_;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/city_inl.hpp"
#endif
