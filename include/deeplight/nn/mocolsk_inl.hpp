// Definitions of mocolsk.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/mocolsk.hpp"
#include "deeplight/nn/selective_kernel.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE MoCoLSKImpl::MoCoLSKImpl(Options options)
    : torch::nn::Module("MoCoLSK"),
      options_(options),
      cascade_(
          {.width = options.width, .kernels = options.kernels, .dilations = options.dilations}) {
  const bool spatial = options.selection == Selection::spatial;
  const std::int64_t kernel = options.dynamic_kernel;
  require(kernel >= 1 && kernel % 2 == 1, "dynamic_kernel must be odd, got ", kernel);
  register_module("cascade", cascade_.ptr());
  if (options.dynamic) {
    generator_ =
        register_module("generator", std::make_shared<WeightGeneratorImpl>(WeightGeneratorOptions{
                                         .width = options.width,
                                         .outputs = spatial ? 4 * kernel * kernel : options.width,
                                         .pooling = options.pooling,
                                         .mlp = options.mlp,
                                         .mlp_layers = options.mlp_layers,
                                         .mlp_hidden = options.mlp_hidden,
                                         .behaviour = options.behaviour}));
  }
  const auto branches = static_cast<std::int64_t>(options.kernels.size());
  if (spatial) {
    spatial_ =
        register_module("selection", std::make_shared<SpatialSelectionImpl>(SpatialSelectionOptions{
                                         .width = options.width,
                                         .branches = branches,
                                         .static_kernel = options.dynamic ? 0 : 7}));
    return;
  }
  for (std::int64_t branch = 0; branch < branches; ++branch) {
    mixes_.push_back(
        register_module("mix" + std::to_string(branch), conv1(options.width, options.width)));
  }
  channel_ = register_module(
      "selection", std::make_shared<ChannelSelectionImpl>(ChannelSelectionOptions{
                       .width = options.width, .hidden = options.width, .branches = branches}));
}

DEEPLIGHT_INLINE at::Tensor MoCoLSKImpl::select(const at::Tensor& features,
                                                const at::Tensor& multiplier,
                                                const std::optional<at::Tensor>& generated,
                                                const PooledScope& scope) {
  if (spatial_) {
    std::optional<at::Tensor> kernel;
    const std::int64_t side = options_.dynamic_kernel;
    if (generated) kernel = generated->unflatten(1, {2, 2, side, side});
    return selective_kernel(*cascade_, *spatial_, features, multiplier, kernel);
  }
  auto branches = cascade_(features);
  for (std::size_t i = 0; i < branches.size(); ++i) branches[i] = pointwise(mixes_[i], branches[i]);
  return multiplier * channel_->forward(branches, generated, scope.of("selection"));
}

DEEPLIGHT_INLINE at::Tensor MoCoLSKImpl::forward(const at::Tensor& main, const at::Tensor& guide,
                                                 const PooledScope& scope) {
  require(main.dim() == 4 && main.sizes() == guide.sizes(), "MoCoLSK: main features ", main.sizes(),
          " and guide features ", guide.sizes(), " differ");
  std::optional<at::Tensor> generated;
  if (generator_) generated = generator_->forward(main, guide, scope.of("generator"));
  const bool exchanged = options_.wiring == MoCoLSKWiring::exchanged;
  const bool conditioned = options_.wiring == MoCoLSKWiring::conditioned;
  return select(exchanged ? guide : main, conditioned ? guide : main, generated, scope);
}

DEEPLIGHT_INLINE std::int64_t MoCoLSKImpl::radius() const {
  const std::int64_t masks = options_.dynamic ? options_.dynamic_kernel / 2 : 3;
  return cascade_->radius() + (spatial_ ? masks : 0);
}

DEEPLIGHT_INLINE Reach MoCoLSKImpl::reach(const Reach& main, const Reach& guide) const {
  const bool exchanged = options_.wiring == MoCoLSKWiring::exchanged;
  const bool conditioned = options_.wiring == MoCoLSKWiring::conditioned;
  return (exchanged ? guide : main).dilated(radius()).joined(conditioned ? guide : main);
}

}  // namespace deeplight::nn
