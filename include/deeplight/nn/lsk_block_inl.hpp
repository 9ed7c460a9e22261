// Definitions of lsk_block.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <memory>
#include <string>

#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/lsk_block.hpp"
#include "deeplight/nn/selective_kernel.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE LSKBlockImpl::LSKBlockImpl(Options options)
    : torch::nn::Module("LSKBlock"),
      options_(options),
      cascade_(
          {.width = options.width, .kernels = options.kernels, .dilations = options.dilations}) {
  const auto branches = static_cast<std::int64_t>(options.kernels.size());
  register_module("cascade", cascade_.ptr());
  if (options.selection == Selection::spatial) {
    spatial_ = register_module(
        "selection",
        std::make_shared<SpatialSelectionImpl>(SpatialSelectionOptions{
            .width = options.width, .branches = branches, .static_kernel = options.static_kernel}));
    return;
  }
  for (std::int64_t branch = 0; branch < branches; ++branch) {
    mixes_.push_back(
        register_module("mix" + std::to_string(branch), conv1(options.width, options.width)));
  }
  channel_ = register_module(
      "selection", std::make_shared<ChannelSelectionImpl>(ChannelSelectionOptions{
                       .width = options.width, .hidden = options.hidden, .branches = branches}));
}

DEEPLIGHT_INLINE at::Tensor LSKBlockImpl::forward(const at::Tensor& features,
                                                  const PooledScope& scope) {
  if (spatial_) return selective_kernel(*cascade_, *spatial_, features, features);
  auto branches = cascade_(features);
  for (std::size_t i = 0; i < branches.size(); ++i) branches[i] = pointwise(mixes_[i], branches[i]);
  return features * channel_->forward(branches, std::nullopt, scope.of("selection"));
}

DEEPLIGHT_INLINE std::int64_t LSKBlockImpl::radius() const {
  return cascade_->radius() + (spatial_ ? options_.static_kernel / 2 : 0);
}

}  // namespace deeplight::nn
