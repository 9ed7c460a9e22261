// Definitions of calibration_aware_alignment.hpp.
#pragma once

#include <memory>

#include "deeplight/nn/calibration_aware_alignment.hpp"
#include "deeplight/nn/checkpoint.hpp"
#include "deeplight/nn/convolution.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE CalibrationAwareAlignment::CalibrationAwareAlignment(const NetworkShape& shape,
                                                                      Options options)
    : torch::nn::Module("CalibrationAwareAlignment"), options_(options) {
  if (!options.enabled) {
    plain_ = register_module("plain", conv3(1, shape.width));
    return;
  }
  if (options.warp) {
    transformer_ = register_module(
        "transformer",
        std::make_shared<SpatialTransformerImpl>(SpatialTransformerOptions{
            .max_shift = options.max_shift, .statistics_window = options.statistics_window}));
  }
  local_ = register_module(
      "local",
      std::make_shared<DefCANImpl>(DefCANOptions{
          .width = shape.width, .modulated = options.modulated, .max_offset = options.max_offset}));
  for (const Guide& guide : shape.guides) {
    guide_alignments_.push_back(register_module(
        "guide_" + guide.name,
        std::make_shared<GuideAlignmentImpl>(GuideAlignmentOptions{.width = shape.width})));
  }
}

DEEPLIGHT_INLINE Aligned CalibrationAwareAlignment::forward(const at::Tensor& low_resolution,
                                                            const std::vector<at::Tensor>& guides,
                                                            const std::optional<Warp>& warp) {
  if (!options_.enabled) return {plain_->forward(low_resolution), guides};
  at::Tensor main = low_resolution;
  std::optional<Warp> field = warp;
  if (transformer_) {
    if (!field) {
      field = Warp{transformer_->forward(low_resolution),
                   static_cast<double>(low_resolution.size(3) - 1) / 2,
                   static_cast<double>(low_resolution.size(2) - 1) / 2};
    }
    main = transformer_->warp(main, field->matrix, field->centre_x, field->centre_y);
  }
  Aligned aligned{checkpoint_part(local_, main), {}};
  for (std::size_t i = 0; i < guides.size(); ++i) {
    const auto guide =
        transformer_ && options_.warp_guides
            ? transformer_->warp(guides[i], field->matrix, field->centre_x, field->centre_y)
            : guides[i];
    aligned.guides.push_back(checkpoint_part(guide_alignments_[i], guide, aligned.main));
  }
  return aligned;
}

DEEPLIGHT_INLINE std::optional<Warp> CalibrationAwareAlignment::raster_warp(
    const ImageRows& low_resolution) {
  if (!transformer_) return std::nullopt;
  return Warp{transformer_->of_raster(low_resolution),
              static_cast<double>(low_resolution.columns - 1) / 2,
              static_cast<double>(low_resolution.rows - 1) / 2};
}

DEEPLIGHT_INLINE double CalibrationAwareAlignment::margin() const {
  if (!options_.enabled) return 1;
  return (transformer_ ? transformer_->margin() : 0) + local_->margin() +
         (guide_alignments_.empty() ? 0 : GuideAlignmentImpl::margin());
}

}  // namespace deeplight::nn
