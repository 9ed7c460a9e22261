// Sharpness of light: full width at half maximum of isolated sources (a flare, a ship, a village).
#pragma once

#include <cstdint>
#include <optional>

#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

struct SourceWidthOptions {
  /// Least value of a source's peak in the target, in its units; needed: below it are noise peaks.
  std::optional<double> min_peak = {};
  std::int64_t radius = 7;  ///< pixels; a source is the largest value this far around
  double dark = 0.1;        ///< no pixel at that distance is brighter than this part of the peak
  std::int64_t shift =
      2;  ///< pixels; the prediction's peak is looked for this far from the target's
  std::optional<at::Tensor> mask =
      {};  ///< valid pixels; a neighbourhood that touches others is out
};

/// One element per isolated source of the target, [S].
struct SourceWidths {
  at::Tensor plane;       ///< int64, which [H, W] plane of the batch, row-major
  at::Tensor row;         ///< int64, of the peak
  at::Tensor column;      ///< int64
  at::Tensor prediction;  ///< float64, width in pixels; NaN where nothing falls below half
  at::Tensor target;      ///< float64
};

/// Widths of isolated sources, kernels/source_width_cpu.hpp. A prediction wider than its target is
/// blurred, a narrower one is sharpened beyond it. Computed on the CPU.
/// @param prediction  [..., H, W], any real type
/// @param target      the same shape
/// @throws InvalidArgument  shapes differ, min_peak absent, radius < 2, shift outside [0, radius),
///         dark outside [0, 0.5], mask not boolean
SourceWidths source_widths(const at::Tensor& prediction, const at::Tensor& target,
                           const SourceWidthOptions& options);

/// Sources together, float64 scalars.
struct SourceWidthMeans {
  at::Tensor sources;     ///< isolated sources of the target
  at::Tensor measured;    ///< of them, those with a width on both sides
  at::Tensor prediction;  ///< mean width over the measured ones, pixels; NaN without any
  at::Tensor target;
  at::Tensor rmse;  ///< of prediction - target, pixels
};

/// Count and means of `source_widths`.
SourceWidthMeans source_width_means(const SourceWidths& widths);

/// Pixels around a piece of an image: they are looked at, but their peaks are another piece's.
struct SourceHalo {
  std::int64_t top = 0, left = 0, bottom = 0, right = 0;
};

/// Widths of the isolated sources of batches, images or pieces. State [5, 2], float64, all of it
/// sums: sources, measured ones, their widths in prediction and target, squared differences.
class SourceWidthAccumulator {
 public:
  /// @param options  `mask` is not read
  /// @throws InvalidArgument  as `source_widths`
  explicit SourceWidthAccumulator(SourceWidthOptions options);

  /// Pixels that a piece needs around it where the image goes on.
  std::int64_t halo() const { return options_.radius; }

  /// @param halo  those of the given pixels that belong to other pieces
  /// @throws InvalidArgument  shapes differ, mask not boolean, halo below 0
  void update(const at::Tensor& prediction, const at::Tensor& target,
              const std::optional<at::Tensor>& mask = std::nullopt, const SourceHalo& halo = {});
  void merge(const SourceWidthAccumulator& other) { merge_state(other.state_); }
  /// @throws InvalidArgument  not the shape of this accumulator's state
  void merge_state(const at::Tensor& state);
  SourceWidthMeans compute() const;
  void reset();

  const at::Tensor& state() const { return state_; }
  /// @throws InvalidArgument  not the shape of this accumulator's state
  void set_state(const at::Tensor& state);

 private:
  SourceWidthOptions options_;
  at::Tensor state_;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/source_width_inl.hpp"
#endif
