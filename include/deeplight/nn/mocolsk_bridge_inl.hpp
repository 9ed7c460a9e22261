// Definitions of mocolsk_bridge.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/mocolsk_bridge.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE MoCoLSKBridgeImpl::MoCoLSKBridgeImpl(Options options)
    : torch::nn::Module("MoCoLSKBridge"),
      options_(options),
      up_({.in = options.in,
           .out = options.core.width,
           .scale = options.scale,
           .direction = ProjectionDirection::up}),
      down_({.in = 2 * options.core.width,
             .out = options.out,
             .scale = options.scale,
             .direction = ProjectionDirection::down}) {
  register_module("up", up_.ptr());
  if (options.fusion == BridgeFusion::mocolsk) {
    core_ = register_module("core", std::make_shared<MoCoLSKImpl>(options.core));
  } else if (options.fusion != BridgeFusion::concatenation) {
    const auto block = options.fusion == BridgeFusion::lsk      ? SelectiveBlock::lsk
                       : options.fusion == BridgeFusion::lsk_cs ? SelectiveBlock::lsk_cs
                                                                : SelectiveBlock::sk;
    comparison_ = register_module(
        "core", std::make_shared<ConcatenatedSelectionImpl>(
                    ConcatenatedSelectionOptions{.width = options.core.width,
                                                 .block = block,
                                                 .kernels = options.core.kernels,
                                                 .dilations = options.core.dilations}));
  }
  register_module("down", down_.ptr());
}

DEEPLIGHT_INLINE at::Tensor MoCoLSKBridgeImpl::forward(const at::Tensor& main,
                                                       const at::Tensor& guide,
                                                       const PooledScope& scope) {
  require(main.dim() == 4 && guide.dim() == 4 && guide.size(2) == options_.scale * main.size(2) &&
              guide.size(3) == options_.scale * main.size(3),
          "MoCoLSKBridge: guide ", guide.sizes(), " is not ", options_.scale, " x ", main.sizes());
  const auto fine = up_(main);
  at::Tensor fused = guide;
  if (core_) fused = core_->forward(fine, guide, scope.of("core"));
  if (comparison_) fused = comparison_->forward(fine, guide, scope.of("core"));
  // The fused map may be in the other layout, and would bring all that follows into it; on the
  // coarse grid a change back is cheap.
  return down_(at::cat({fine, fused}, 1)).contiguous(main.suggest_memory_format());
}

DEEPLIGHT_INLINE Reach MoCoLSKBridgeImpl::reach(const Reach& main, const Reach& guide) const {
  const Reach fine = up_->reach(main);
  Reach fused = guide;
  if (core_) fused = core_->reach(fine, guide);
  if (comparison_) fused = fine.joined(guide).dilated(comparison_->radius());
  return down_->reach(fine.joined(fused));
}

DEEPLIGHT_INLINE double MoCoLSKBridgeImpl::margin() const {
  const Reach cell;
  return static_cast<double>(reach(cell, cell.covered(options_.scale)).radius());
}

}  // namespace deeplight::nn
