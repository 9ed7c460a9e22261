// Definitions of auxiliary_embedded_refinement.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/projection_conv.hpp"
#include "deeplight/nn/auxiliary_embedded_refinement.hpp"
#include "deeplight/nn/convolution.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE AuxiliaryEmbeddedRefinement::AuxiliaryEmbeddedRefinement(const NetworkShape& shape,
                                                                          Options options)
    : torch::nn::Module("AuxiliaryEmbeddedRefinement"), options_(options), scale_(shape.scale) {
  require(!options.guide_gate || !shape.guides.empty(), "guide_gate needs at least one guide");
  const std::int64_t levels = shape.levels();
  const auto channels = downsampling_channels(levels, shape.width);
  const at::NoGradGuard no_grad;
  for (std::int64_t level = 0; level < levels; ++level) {
    const std::string number = std::to_string(level);
    const bool last = level == levels - 1;
    Step step;
    step.expand = register_module("expand" + number, conv1(shape.width, 4 * shape.width));
    if (options.guide_gate) {
      const std::int64_t bands =
          last ? shape.guide_bands()
               : channels[levels - 2 - level] * static_cast<std::int64_t>(shape.guides.size());
      step.gate0 = register_module("gate" + number + "_0", conv3(bands, options.gate_width));
      step.gate1 = register_module("gate" + number + "_1", conv1(options.gate_width, shape.width));
      step.gate1->weight.zero_();
      step.gate1->bias.zero_();
    }
    if (options.multi_scale || last) {
      step.head = register_module("head" + number, conv3(shape.width, 1));
      if (options.zero_heads) {
        step.head->weight.zero_();
        step.head->bias.zero_();
      }
    }
    steps_.push_back(step);
  }
  if (options.auxiliary_head) {
    auxiliary_ = register_module("auxiliary", conv3(1, 1));
    auxiliary_->bias.fill_(options.auxiliary_bias);
  }
}

DEEPLIGHT_INLINE at::Tensor AuxiliaryEmbeddedRefinement::expanded(torch::nn::Conv2dImpl& layer,
                                                                  const at::Tensor& features) {
  functional::ProjectionTail tail;
  // Within the pass that writes the result; for a gradient it would have to keep its sums.
  const bool fused = !at::GradMode::is_enabled();
  if (fused) tail.slope = at::zeros({layer.weight.size(0) / 4}, layer.weight.options());
  const auto result =
      functional::pixel_shuffle_conv1x1(features, layer.weight, layer.bias, 2, tail);
  return fused ? result : at::relu(result);
}

DEEPLIGHT_INLINE Tensors AuxiliaryEmbeddedRefinement::run_step(Step step, const Options& options,
                                                               bool last, const Tensors& inputs) {
  const at::Tensor& low_resolution = inputs[1];
  at::Tensor features = expanded(*step.expand, inputs[0]);
  if (options.guide_gate) {
    const auto hidden = convolved(step.gate0, inputs[2], 0);
    features = features * (1 + pointwise(step.gate1, hidden));
  }
  Tensors outputs;
  // The last features, the largest tensors of all, need not outlive their step.
  if (!last) outputs.push_back(features);
  if (step.head) {
    outputs.push_back(convolved(step.head, features));
    if (options.bicubic_skip) {
      outputs.back() =
          outputs.back() +
          at::upsample_bicubic2d(low_resolution, {features.size(2), features.size(3)}, false);
    }
  }
  return outputs;
}

DEEPLIGHT_INLINE Output AuxiliaryEmbeddedRefinement::forward(const at::Tensor& fused,
                                                             const RefinementInputs& inputs) {
  require(!options_.guide_gate || inputs.guide_pyramid.size() == steps_.size(), "guide_gate needs ",
          steps_.size(), " levels of guides, got ", inputs.guide_pyramid.size());
  Output output;
  at::Tensor features = fused;
  for (std::size_t level = 0; level < steps_.size(); ++level) {
    const Step& step = steps_[level];
    const bool last = level + 1 == steps_.size();
    Tensors in{features, inputs.low_resolution};
    if (options_.guide_gate) in.push_back(inputs.guide_pyramid[level]);
    SegmentParts parts;
    for (const auto& part : {step.expand, step.gate0, step.gate1, step.head})
      if (part) parts.push_back(part.ptr());
    const auto run = [step, last, options = options_](const Tensors& in) {
      return run_step(step, options, last, in);
    };
    const Tensors found = checkpoint(run, in, parts);
    features = found.front();
    if (step.head) output.pyramid.push_back(found.back());
  }
  // The auxiliary map reads the prediction itself, before any constraint on its sum.
  if (auxiliary_) output.auxiliary_logits = auxiliary_->forward(output.pyramid.back());
  if (options_.consistency != Consistency::none) {
    output.pyramid.back() = functional::enforce_block_mean(
        output.pyramid.back(), inputs.low_resolution, scale_, options_.consistency);
  }
  output.image = output.pyramid.back();
  return output;
}

DEEPLIGHT_INLINE double AuxiliaryEmbeddedRefinement::margin() const {
  // Bicubic reaches two pixels; consistency looks at the whole cell, one pixel further.
  return 2 + (options_.consistency == Consistency::none ? 0 : 1);
}

}  // namespace deeplight::nn
