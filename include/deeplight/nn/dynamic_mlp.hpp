// Dynamic MLP: tokens of one modality through layers whose matrices another modality's tokens give.
//
// t [B, T, planes] and guide tokens [B, T, guide_planes] -> [B, T, planes]. One layer, in -> out:
//   A  W = Linear(g), one in x out matrix a token; LayerNorm(t W), ReLU
//   B  t: Linear, ReLU, Linear; g: Linear, ReLU, Linear -> W; LayerNorm(t W), ReLU; then
//      Linear without bias, LayerNorm, ReLU
//   C  as B, the first two Linears on t and g side by side
// Several layers go planes -> hidden -> ... -> planes and use the same guide tokens.
// Source: Yang et al. 2022, Dynamic MLP (arXiv 2203.03253).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"

namespace deeplight::nn {

enum class DynamicMLPVersion { A, B, C };
DEEPLIGHT_ENUM(DynamicMLPVersion, {{DynamicMLPVersion::A, "A"},
                                   {DynamicMLPVersion::B, "B"},
                                   {DynamicMLPVersion::C, "C"}})

struct DynamicMLPOptions {
  std::int64_t planes = 32;
  std::int64_t guide_planes = 32;
  std::int64_t hidden = 32;  ///< planes between layers
  std::int64_t layers = 1;
  DynamicMLPVersion version = DynamicMLPVersion::A;
};
DEEPLIGHT_OPTIONS(DynamicMLPOptions, planes, guide_planes, hidden, layers, version)

class DynamicMLPImpl : public torch::nn::Module {
 public:
  using Options = DynamicMLPOptions;
  explicit DynamicMLPImpl(Options options = {});

  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& guide_tokens);

  /// Tokens do not see each other.
  static double margin() { return 0; }

 private:
  struct Layer {
    std::int64_t in = 0, out = 0;
    torch::nn::Linear token0{nullptr}, token1{nullptr}, guide0{nullptr}, guide1{nullptr};
    torch::nn::LayerNorm norm{nullptr};
    torch::nn::Linear mix{nullptr};
    torch::nn::LayerNorm mix_norm{nullptr};
  };
  Layer make_layer(const std::string& name, std::int64_t in, std::int64_t out);
  at::Tensor run(Layer& layer, const at::Tensor& tokens, const at::Tensor& guide_tokens);

  Options options_;
  std::vector<Layer> layers_;
};
using DynamicMLP = Holder<DynamicMLPImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/dynamic_mlp_inl.hpp"
#endif
