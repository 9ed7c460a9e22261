// CAA, the calibration-aware alignment: global warp (STN), local alignment (DefCAN), guides after.
//
// low resolution [B, 1, h, w] and guide features [B, width, h, w] -> the same sizes, aligned.
// Source: DeepLight (arXiv 2402.15659), section on the calibration-aware alignment network.
#pragma once

#include <optional>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/nn/composition.hpp"
#include "deeplight/nn/def_can.hpp"
#include "deeplight/nn/guide_alignment.hpp"
#include "deeplight/nn/spatial_transformer.hpp"

namespace deeplight::nn {

struct CalibrationAwareAlignmentOptions {
  bool enabled = true;      ///< false: one convolution 1 -> width, guides untouched (w/o CAA)
  bool warp = true;         ///< the spatial transformer; off where rasters are registered already
  bool warp_guides = true;  ///< false: guides lie on the fine frame and must not be bent
  bool modulated = false;   ///< deformable convolution v2
  double max_shift = 2.0;   ///< bound of the warp, low-resolution pixels
  double max_offset = 4.0;  ///< bound of the deformable offsets, low-resolution pixels
  std::int64_t statistics_window = 24;  ///< a raster's warp is a median over windows of this side
};
DEEPLIGHT_OPTIONS(CalibrationAwareAlignmentOptions, enabled, warp, warp_guides, modulated,
                  max_shift, max_offset, statistics_window)

class CalibrationAwareAlignment : public torch::nn::Module {
 public:
  using Options = CalibrationAwareAlignmentOptions;
  CalibrationAwareAlignment(const NetworkShape& shape, Options options);

  /// @param warp  of the whole raster; estimated from `low_resolution` itself when absent
  Aligned forward(const at::Tensor& low_resolution, const std::vector<at::Tensor>& guides,
                  const std::optional<Warp>& warp);

  /// The one warp of a whole raster; none when there is no spatial transformer.
  std::optional<Warp> raster_warp(const ImageRows& low_resolution);

  double margin() const;

 private:
  Options options_;
  std::shared_ptr<SpatialTransformerImpl> transformer_;
  std::shared_ptr<DefCANImpl> local_;
  std::vector<std::shared_ptr<GuideAlignmentImpl>> guide_alignments_;
  torch::nn::Conv2d plain_{nullptr};
};
static_assert(AlignmentModule<CalibrationAwareAlignment>);

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/calibration_aware_alignment_inl.hpp"
#endif
