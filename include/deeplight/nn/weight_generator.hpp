// Weight generator: what two modalities, pooled to tokens, say about each other, as a few numbers.
//
// main, guide [B, width, H, W] -> [B or 1, outputs]: t = Linear(main tokens); DynamicMLP(t, guide
// tokens); Linear to `outputs`, LayerNorm, plus Linear of the raw main tokens; mean over tokens.
// 37,360 parameters at width 32 for a 2 -> 2 kernel of 3 x 3 (36 outputs).
// Source: MoCoLSK-Net (GrokLST, arXiv 2409.19835). The released network detaches the result and
// averages it over the batch, the paper describes neither: docs/mocolsk_net.md.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/dynamic_mlp.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/pooled_scope.hpp"
#include "deeplight/nn/token_pooling.hpp"

namespace deeplight::nn {

/// as_described: each sample has its own result, trained through. as_released: without gradient,
/// the batch's mean for all: a sample's output then depends on its batch-mates.
enum class GeneratorBehaviour { as_described, as_released };
DEEPLIGHT_ENUM(GeneratorBehaviour, {{GeneratorBehaviour::as_described, "as_described"},
                                    {GeneratorBehaviour::as_released, "as_released"}})

struct WeightGeneratorOptions {
  std::int64_t width = 32;
  std::int64_t outputs = 36;
  TokenPooling pooling = TokenPooling::pyramid;
  DynamicMLPVersion mlp = DynamicMLPVersion::A;
  std::int64_t mlp_layers = 1;
  std::int64_t mlp_hidden = 32;  ///< between layers of the dynamic MLP
  GeneratorBehaviour behaviour = GeneratorBehaviour::as_described;
};
DEEPLIGHT_OPTIONS(WeightGeneratorOptions, width, outputs, pooling, mlp, mlp_layers, mlp_hidden,
                  behaviour)

class WeightGeneratorImpl : public torch::nn::Module {
 public:
  using Options = WeightGeneratorOptions;
  explicit WeightGeneratorImpl(Options options = {});

  /// The maps may differ in size.
  at::Tensor forward(const at::Tensor& main, const at::Tensor& guide,
                     const PooledScope& scope = {});

  /// Zero: with its result given, nothing is read.
  static double margin() { return 0; }

 private:
  at::Tensor generate(const at::Tensor& main, const at::Tensor& guide);

  Options options_;
  torch::nn::Linear token_{nullptr}, out_{nullptr}, raw_{nullptr};
  DynamicMLP mlp_;
  torch::nn::LayerNorm norm_{nullptr};
};
using WeightGenerator = Holder<WeightGeneratorImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/weight_generator_inl.hpp"
#endif
