// MoCoLSK: a large selective kernel whose masks are conditioned on two modalities, times the other:
// main, guide [B, width, H, W] -> [B, width, H, W]; 41,392 parameters by default.
//
// Depthwise cascade over the main features (5 x 5, then 7 x 7 with dilation 3); spatial selection
// whose 2 -> 2 kernel the weight generator makes of both, or channel selection to whose hidden
// vector the generator adds its own; Z = guide * S. Source: MoCoLSK-Net (GrokLST, arXiv
// 2409.19835). Its ablations, each one option:
//   MoCoLSK-CS  .selection=channel          MoCoLSK-Ex  .wiring=exchanged
//   w/o MF      .wiring=unfused             w/o DConv   .dynamic=false
//   w/o LKD     .kernels={23} .dilations={1}
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <memory>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/channel_selection.hpp"
#include "deeplight/nn/depthwise_cascade.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/lsk_block.hpp"
#include "deeplight/nn/reach.hpp"
#include "deeplight/nn/spatial_selection.hpp"
#include "deeplight/nn/weight_generator.hpp"

namespace deeplight::nn {

/// Who goes through the large kernel, and whom its result multiplies. conditioned: main, guide;
/// exchanged: guide, main; unfused: main, main. The generator's tokens are main's in all of them.
enum class MoCoLSKWiring { conditioned, exchanged, unfused };
DEEPLIGHT_ENUM(MoCoLSKWiring, {{MoCoLSKWiring::conditioned, "conditioned"},
                               {MoCoLSKWiring::exchanged, "exchanged"},
                               {MoCoLSKWiring::unfused, "unfused"}})

struct MoCoLSKOptions {
  std::int64_t width = 32;
  std::vector<std::int64_t> kernels = {5, 7};    ///< odd; one: no decomposition
  std::vector<std::int64_t> dilations = {1, 3};  ///< one a kernel
  Selection selection = Selection::spatial;
  MoCoLSKWiring wiring = MoCoLSKWiring::conditioned;
  bool dynamic = true;              ///< false: no generator; static 7 x 7 masks (w/o DConv)
  std::int64_t dynamic_kernel = 3;  ///< odd side of the generated kernel
  TokenPooling pooling = TokenPooling::pyramid;
  DynamicMLPVersion mlp = DynamicMLPVersion::A;
  std::int64_t mlp_layers = 1;
  std::int64_t mlp_hidden = 32;  ///< between layers of the dynamic MLP
  GeneratorBehaviour behaviour = GeneratorBehaviour::as_described;
};
DEEPLIGHT_OPTIONS(MoCoLSKOptions, width, kernels, dilations, selection, wiring, dynamic,
                  dynamic_kernel, pooling, mlp, mlp_layers, mlp_hidden, behaviour)

class MoCoLSKImpl : public torch::nn::Module {
 public:
  using Options = MoCoLSKOptions;
  explicit MoCoLSKImpl(Options options = {});

  /// @throws InvalidArgument  the maps differ in shape
  at::Tensor forward(const at::Tensor& main, const at::Tensor& guide,
                     const PooledScope& scope = {});

  double margin() const { return static_cast<double>(radius()); }
  /// Reach in pixels, what is pooled given.
  std::int64_t radius() const;
  /// What a change in both inputs reaches.
  Reach reach(const Reach& main, const Reach& guide) const;

 private:
  at::Tensor select(const at::Tensor& features, const at::Tensor& multiplier,
                    const std::optional<at::Tensor>& generated, const PooledScope& scope);

  Options options_;
  DepthwiseCascade cascade_;
  std::shared_ptr<WeightGeneratorImpl> generator_;
  std::shared_ptr<SpatialSelectionImpl> spatial_;
  std::vector<torch::nn::Conv2d> mixes_;
  std::shared_ptr<ChannelSelectionImpl> channel_;
};
using MoCoLSK = Holder<MoCoLSKImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/mocolsk_inl.hpp"
#endif
