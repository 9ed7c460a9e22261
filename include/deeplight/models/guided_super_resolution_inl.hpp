// Definitions of the template in guided_super_resolution.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>

#include "deeplight/core/nearest_name.hpp"
#include "deeplight/models/guided_super_resolution.hpp"
#include "deeplight/models/part_checks.hpp"
#include "deeplight/nn/checkpoint.hpp"
#include "deeplight/nn/memory_layout.hpp"

namespace deeplight {

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
GuidedSuperResolutionImpl<Align, Fuse, Refine>::GuidedSuperResolutionImpl(Options options)
    : Network("GuidedSuperResolution"), options_(std::move(options)) {
  check_network_shape(options_.scale, options_.width, options_.guides);
  std::vector<std::string> modalities{"low_resolution"};
  for (const Guide& guide : options_.guides) modalities.push_back(guide.name);
  for (const std::string& name : options_.without) {
    require(std::find(modalities.begin(), modalities.end(), name) != modalities.end(),
            "option 'without' names '", name, "'; did you mean '", nearest_name(name, modalities),
            "'? Known: ", joined(modalities));
  }
  for (const Guide& guide : options_.guides)
    if (present(guide.name)) present_guides_.push_back(guide);
  require(present("low_resolution") || !present_guides_.empty(),
          "option 'without' must leave at least one modality");

  const nn::NetworkShape shape{options_.scale, options_.width, present_guides_};
  const nn::NetworkShape declared{options_.scale, options_.width, options_.guides};
  for (const Guide& guide : present_guides_) {
    downsamplings_.push_back(register_module(
        "downsample_" + guide.name,
        std::make_shared<nn::LearnableDownsamplingImpl>(nn::LearnableDownsamplingOptions{
            .bands = guide.bands, .scale = options_.scale, .width = options_.width})));
  }
  if (present("low_resolution"))
    align_ = register_module("align", std::make_shared<Align>(shape, options_.align));
  fuse_ = register_module("fuse", std::make_shared<Fuse>(declared, options_.fuse));
  refine_ = register_module("refine", std::make_shared<Refine>(shape, options_.refine));
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
bool GuidedSuperResolutionImpl<Align, Fuse, Refine>::present(const std::string& modality) const {
  return std::find(options_.without.begin(), options_.without.end(), modality) ==
         options_.without.end();
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
std::int64_t GuidedSuperResolutionImpl<Align, Fuse, Refine>::margin() const {
  const double downsampling = downsamplings_.empty() ? 0 : nn::LearnableDownsamplingImpl::margin();
  const double alignment = align_ ? align_->margin() : 0;
  return static_cast<std::int64_t>(
      std::ceil(downsampling + alignment + fuse_->margin() + refine_->margin()));
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
std::vector<std::string> GuidedSuperResolutionImpl<Align, Fuse, Refine>::statistic_names() const {
  const auto children = align_ ? align_->named_children().keys() : std::vector<std::string>{};
  const bool warps = std::find(children.begin(), children.end(), "transformer") != children.end();
  return warps ? std::vector<std::string>{"warp"} : std::vector<std::string>{};
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
ImageStatistics GuidedSuperResolutionImpl<Align, Fuse, Refine>::image_statistics(
    const at::Tensor& low_resolution) {
  return streamed_statistics(rows_of(low_resolution));
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
ImageStatistics GuidedSuperResolutionImpl<Align, Fuse, Refine>::streamed_statistics(
    const ImageRows& low_resolution) {
  ImageStatistics statistics;
  if (!align_) return statistics;
  // Edge padding makes windows of at least the transformer's minimum; the centre stays the
  // raster's.
  const std::int64_t rows = low_resolution.rows, columns = low_resolution.columns;
  const auto padded = [](std::int64_t side) {
    return (side + side_multiple - 1) / side_multiple * side_multiple;
  };
  statistics.warp = align_->raster_warp(ImageRows{
      padded(rows), padded(columns), [&](std::int64_t first, std::int64_t count) {
        const std::int64_t there = std::min(count, rows - first);  // padding alone is no window
        const at::Tensor strip = low_resolution.read(first, there);
        if (there == count && padded(columns) == columns) return strip;
        return at::replication_pad2d(strip, {0, padded(columns) - columns, 0, count - there});
      }});
  if (statistics.warp) {
    statistics.warp->centre_x = static_cast<double>(columns - 1) / 2;
    statistics.warp->centre_y = static_cast<double>(rows - 1) / 2;
  }
  return statistics;
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
at::Tensor GuidedSuperResolutionImpl<Align, Fuse, Refine>::pad(const at::Tensor& image,
                                                               std::int64_t factor) const {
  const std::int64_t multiple = side_multiple * factor;
  const auto missing = [&](std::int64_t side) { return (multiple - side % multiple) % multiple; };
  const std::int64_t right = missing(image.size(3)), bottom = missing(image.size(2));
  if (right == 0 && bottom == 0) return image;
  return at::replication_pad2d(image, {0, right, 0, bottom});
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
std::vector<at::Tensor> GuidedSuperResolutionImpl<Align, Fuse, Refine>::with_replacements(
    const std::vector<at::Tensor>& features, const at::Tensor& main) const {
  if (features.size() == options_.guides.size()) return features;
  const auto replacement = features.empty() ? main : at::stack(features).mean(0);
  std::vector<at::Tensor> all;
  std::size_t next = 0;
  for (const Guide& guide : options_.guides)
    all.push_back(present(guide.name) ? features[next++] : replacement);
  return all;
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
typename GuidedSuperResolutionImpl<Align, Fuse, Refine>::Fused
GuidedSuperResolutionImpl<Align, Fuse, Refine>::fuse_inputs(const at::Tensor& low_resolution,
                                                            const GuideTensors& guides,
                                                            const ImageStatistics* statistics) {
  check_inputs(low_resolution, guides, options_.guides, options_.without, options_.scale);
  Fused fused;
  fused.low_resolution = nn::in_fast_layout(pad(low_resolution, 1));
  std::vector<at::Tensor> coarse;
  for (std::size_t i = 0; i < present_guides_.size(); ++i) {
    fused.raw_guides.push_back(
        nn::in_fast_layout(pad(guides.at(present_guides_[i].name), options_.scale)));
    fused.guide_levels.push_back(nn::checkpoint_part(downsamplings_[i], fused.raw_guides.back()));
    coarse.push_back(fused.guide_levels.back().back());
  }
  nn::Aligned aligned;
  if (align_) {
    const auto warp = statistics ? statistics->warp : std::optional<Warp>{};
    aligned = align_->forward(fused.low_resolution, coarse, warp);
  } else {
    aligned = {at::stack(coarse).mean(0), coarse};
  }
  fused.features = fuse_->forward(aligned.main, with_replacements(aligned.guides, aligned.main));
  return fused;
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
Output GuidedSuperResolutionImpl<Align, Fuse, Refine>::refine_part(const Fused& fused,
                                                                   const Part& part) {
  const std::int64_t height = fused.features.size(2);
  // Cropped before they are put side by side: at full size, guides are the largest tensors of all.
  const auto cut = [&](const at::Tensor& image) {
    return cut_part(image, part, image.size(2) / height);
  };
  nn::RefinementInputs inputs{.low_resolution = cut(fused.low_resolution), .guide_pyramid = {}};
  const auto add_level = [&](const auto& of_guide) {
    std::vector<at::Tensor> same_size;
    for (std::size_t i = 0; i < present_guides_.size(); ++i) same_size.push_back(cut(of_guide(i)));
    inputs.guide_pyramid.push_back(at::cat(same_size, 1));
  };
  if (!present_guides_.empty()) {
    for (std::size_t level = fused.guide_levels.front().size() - 1; level-- > 0;)
      add_level([&](std::size_t i) { return fused.guide_levels[i][level]; });
    add_level([&](std::size_t i) { return fused.raw_guides[i]; });
  }
  return refine_->forward(cut(fused.features), inputs);
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
Output GuidedSuperResolutionImpl<Align, Fuse, Refine>::forward(const at::Tensor& low_resolution,
                                                               const GuideTensors& guides,
                                                               const ImageStatistics* statistics) {
  const nn::CheckpointScope scope(checkpoint_activations() || nn::checkpointing());
  const Fused fused = fuse_inputs(low_resolution, guides, statistics);
  const std::int64_t padded = fused.features.size(2);
  Output output = refine_part(fused, {.rows = padded, .columns = fused.features.size(3)});
  const auto crop = [&](const at::Tensor& image) {
    const std::int64_t factor = image.size(2) / padded;
    return image.narrow(2, 0, factor * low_resolution.size(2))
        .narrow(3, 0, factor * low_resolution.size(3));
  };
  for (at::Tensor& prediction : output.pyramid) prediction = crop(prediction);
  output.image = output.pyramid.back();
  if (output.auxiliary_logits) output.auxiliary_logits = crop(*output.auxiliary_logits);
  return output;
}

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
at::Tensor GuidedSuperResolutionImpl<Align, Fuse, Refine>::forward_part(
    const at::Tensor& low_resolution, const GuideTensors& guides, const Part& part,
    const ImageStatistics* statistics) {
  check_part(part, low_resolution);
  const Fused fused = fuse_inputs(low_resolution, guides, statistics);
  const auto reach = static_cast<std::int64_t>(std::ceil(refine_->margin())) + 1;
  const std::int64_t top = std::max<std::int64_t>(part.row - reach, 0);
  const std::int64_t left = std::max<std::int64_t>(part.column - reach, 0);
  const std::int64_t bottom = std::min(part.row + part.rows + reach, fused.features.size(2));
  const std::int64_t right = std::min(part.column + part.columns + reach, fused.features.size(3));
  const Part inside{part.row - top, part.column - left, part.rows, part.columns};
  return cut_part(refine_part(fused, {top, left, bottom - top, right - left}).image, inside,
                  options_.scale);
}

}  // namespace deeplight
