// The bridge of a stage of MoCoLSK-Net: coarse features meet the guide on its fine grid and return.
//
// main [B, in, h, w], guide [B, width, r*h, r*w] -> [B, out, h, w]: X = up-projection in -> width;
// Z = fusion(X, guide); down-projection 2 * width -> out of X and Z side by side. The baseline
// without a fusion projects X and the guide. Source: MoCoLSK-Net (GrokLST, arXiv 2409.19835).
#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/concatenated_selection.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/mocolsk.hpp"
#include "deeplight/nn/projection_unit.hpp"

namespace deeplight::nn {

/// What merges the two modalities: the paper's core, one of its comparisons, or nothing.
enum class BridgeFusion { mocolsk, lsk, lsk_cs, sk, concatenation };
DEEPLIGHT_ENUM(BridgeFusion, {{BridgeFusion::mocolsk, "mocolsk"},
                              {BridgeFusion::lsk, "lsk"},
                              {BridgeFusion::lsk_cs, "lsk_cs"},
                              {BridgeFusion::sk, "sk"},
                              {BridgeFusion::concatenation, "concatenation"}})

struct MoCoLSKBridgeOptions {
  std::int64_t in = 32;
  std::int64_t out = 64;
  std::int64_t scale = 8;  ///< 2, 4, 8 or 16
  BridgeFusion fusion = BridgeFusion::mocolsk;
  MoCoLSKOptions core = {};  ///< its width is the guide's; the comparisons use kernels, dilations
};
DEEPLIGHT_OPTIONS(MoCoLSKBridgeOptions, in, out, scale, fusion, core)

class MoCoLSKBridgeImpl : public torch::nn::Module {
 public:
  using Options = MoCoLSKBridgeOptions;
  explicit MoCoLSKBridgeImpl(Options options = {});

  /// @throws InvalidArgument  the guide is not `scale` times as large
  at::Tensor forward(const at::Tensor& main, const at::Tensor& guide,
                     const PooledScope& scope = {});

  /// Low-resolution pixels that changes of the inputs reach, the guide's on the fine grid.
  Reach reach(const Reach& main, const Reach& guide) const;
  double margin() const;

 private:
  Options options_;
  ProjectionUnit up_, down_;
  std::shared_ptr<MoCoLSKImpl> core_;
  std::shared_ptr<ConcatenatedSelectionImpl> comparison_;
};
using MoCoLSKBridge = Holder<MoCoLSKBridgeImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/mocolsk_bridge_inl.hpp"
#endif
