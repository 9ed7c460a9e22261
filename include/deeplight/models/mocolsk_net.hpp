// MoCoLSK-Net: guided downscaling of land-surface temperature; 40,913,721 parameters by default
// (x8, one guide of 10 bands).
//
// low resolution [B, 1, h, w] and named guides [B, bands, r*h, r*w], side by side in their declared
// order -> Output; any h, w from 1, without padding. Two stems (conv3, LeakyReLU 0.2); stages that
// widen the coarse features by `width` each: a residual group on the coarse grid, one on the
// guide's, and a bridge between them; reconstruction (a group, an up-projection, two groups of
// `reconstruction_blocks`); head; plus the bicubic low resolution.
//
// Source: GrokLST / MoCoLSK-Net, arXiv 2409.19835, and its released code, which adds a stage's
// width to the reconstruction. docs/mocolsk_net.md: the two behaviours, ablations, interpretations.
//
// Channel attention and generated kernels see the whole image: tiles need a representative pass.
#pragma once

#include <torch/nn/modules/conv.h>

#include <memory>
#include <string>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/functional/block_mean.hpp"
#include "deeplight/models/network.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/mocolsk_bridge.hpp"
#include "deeplight/nn/residual_group.hpp"

namespace deeplight {

struct MoCoLSKNetOptions {
  std::int64_t scale = 8;                       ///< 2, 4 or 8
  std::vector<Guide> guides = {{"guide", 10}};  ///< at least one; bands side by side in this order
  std::int64_t stages = 4;                      ///< bridges between the two grids
  std::int64_t width = 32;  ///< guide channels, and what each stage adds to the coarse ones
  std::int64_t blocks = 4;  ///< RCABs of each residual group
  std::int64_t reconstruction_blocks = 8;  ///< of the two last groups, on the fine grid
  std::int64_t reduction = 16;             ///< of channel attention
  nn::BridgeFusion fusion =
      nn::BridgeFusion::mocolsk;  ///< or a comparison: "lsk", "lsk_cs", "sk", "concatenation"
  /// "spatial" or "channel": one for all stages, or one a stage (best in the paper: C, S, C, C)
  std::vector<nn::Selection> selection = {nn::Selection::spatial};
  nn::MoCoLSKWiring wiring =
      nn::MoCoLSKWiring::conditioned;            ///< or "exchanged" (Ex), "unfused" (w/o MF)
  std::vector<std::int64_t> kernels = {5, 7};    ///< odd; {23} with dilation 1: w/o LKD
  std::vector<std::int64_t> dilations = {1, 3};  ///< one a kernel
  bool dynamic = true;                           ///< false: static 7 x 7 masks (w/o DConv)
  std::int64_t dynamic_kernel = 3;               ///< odd side of the generated kernel
  nn::TokenPooling pooling = nn::TokenPooling::pyramid;  ///< or "avg", "max", "avg_max"
  nn::DynamicMLPVersion mlp = nn::DynamicMLPVersion::A;  ///< "A", "B" or "C"
  std::int64_t mlp_layers = 1;                           ///< of the dynamic MLP
  std::int64_t mlp_hidden = 32;                          ///< between those layers
  nn::GeneratorBehaviour behaviour = nn::GeneratorBehaviour::as_described;  ///< or "as_released"
  Consistency consistency = Consistency::none;  ///< block mean = input, in normalised units
  double input_mean = 0.0;  ///< for parity with networks that normalise inside: (x - mean) / std
  double input_std = 1.0;   ///< before, undone after; a card's preprocessor does it otherwise
};
DEEPLIGHT_OPTIONS(MoCoLSKNetOptions, scale, guides, stages, width, blocks, reconstruction_blocks,
                  reduction, fusion, selection, wiring, kernels, dilations, dynamic, dynamic_kernel,
                  pooling, mlp, mlp_layers, mlp_hidden, behaviour, consistency, input_mean,
                  input_std)

class MoCoLSKNetImpl : public Network {
 public:
  using Options = MoCoLSKNetOptions;

  /// @throws InvalidArgument  an option breaks a rule
  explicit MoCoLSKNetImpl(Options options = {});

  std::string architecture() const override { return "mocolsk_net"; }
  Json options() const override { return options_to_json(options_); }
  std::int64_t scale() const override { return options_.scale; }
  std::vector<Guide> guides() const override { return options_.guides; }
  std::int64_t margin() const override { return margin_after(-1); }
  std::vector<std::string> statistic_names() const override;
  bool can_checkpoint_activations() const override { return true; }
  ImageStatistics streamed_statistics(const ImageRows&) override { return {}; }  // pooled ones only
  bool needs_representative_pass() const override { return true; }
  ImageStatistics representative_statistics(const at::Tensor& low_resolution,
                                            const GuideTensors& guides,
                                            const ImageStatistics* statistics = nullptr) override;
  Output forward(const at::Tensor& low_resolution, const GuideTensors& guides,
                 const ImageStatistics* statistics = nullptr) override;
  /// With pooled values given, each stage computes no more halo than what follows it needs.
  at::Tensor forward_part(const at::Tensor& low_resolution, const GuideTensors& guides,
                          const Part& part, const ImageStatistics* statistics = nullptr) override;

 private:
  struct Stage {
    nn::ResidualGroup main, guide;
    nn::MoCoLSKBridge bridge;
  };
  /// Coarse features, fine guide features, and the input window they belong to.
  struct State {
    at::Tensor main, guide, low_resolution;
    Part window;
  };
  nn::MoCoLSKBridgeOptions bridge_options(std::int64_t stage) const;
  State begin(const at::Tensor& low_resolution, const GuideTensors& guides);
  void run_stage(std::int64_t stage, State& state, const nn::PooledScope& scope);
  at::Tensor reconstruct(const State& state, const nn::PooledScope& scope);
  /// Low-resolution pixels that layers after the stage can reach; -1: after the input.
  std::int64_t margin_after(std::int64_t stage) const;
  void crop(State& state, const Part& part, std::int64_t margin) const;

  Options options_;
  torch::nn::Conv2d main_stem_{nullptr}, guide_stem_{nullptr};
  std::vector<Stage> stages_;
  nn::ResidualGroup coarse_;
  nn::ProjectionUnit up_;
  std::vector<nn::ResidualGroup> fine_;
  torch::nn::Conv2d head0_{nullptr}, head1_{nullptr};
};
using MoCoLSKNet = Holder<MoCoLSKNetImpl>;

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/models/mocolsk_net_inl.hpp"
#endif
