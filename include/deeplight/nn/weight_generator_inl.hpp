// Definitions of weight_generator.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include "deeplight/nn/linear.hpp"
#include "deeplight/nn/weight_generator.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE WeightGeneratorImpl::WeightGeneratorImpl(Options options)
    : torch::nn::Module("WeightGenerator"),
      options_(options),
      mlp_({.planes = options.width,
            .guide_planes = options.width,
            .hidden = options.mlp_hidden,
            .layers = options.mlp_layers,
            .version = options.mlp}) {
  token_ = register_module("token", linear(options.width, options.width));
  register_module("mlp", mlp_.ptr());
  out_ = register_module("out", linear(options.width, options.outputs));
  norm_ = register_module("norm", layer_norm(options.outputs));
  raw_ = register_module("raw", linear(options.width, options.outputs));
}

DEEPLIGHT_INLINE at::Tensor WeightGeneratorImpl::generate(const at::Tensor& main,
                                                          const at::Tensor& guide) {
  const auto tokens = pool_tokens(main, options_.pooling);
  const auto mixed = mlp_(token_->forward(tokens), pool_tokens(guide, options_.pooling));
  return (norm_->forward(out_->forward(mixed)) + raw_->forward(tokens)).mean(1);
}

DEEPLIGHT_INLINE at::Tensor WeightGeneratorImpl::forward(const at::Tensor& main,
                                                         const at::Tensor& guide,
                                                         const PooledScope& scope) {
  return scope.value("generated", [&] {
    if (options_.behaviour == GeneratorBehaviour::as_described) return generate(main, guide);
    const at::NoGradGuard detached;
    return generate(main, guide).mean(0, /*keepdim=*/true);
  });
}

}  // namespace deeplight::nn
