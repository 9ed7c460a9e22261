// Sharpness of light: full width at half maximum of isolated sources (a flare, a ship, a village).
#pragma once

#include <cstdint>

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

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/source_width_inl.hpp"
#endif
