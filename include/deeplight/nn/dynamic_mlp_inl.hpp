// Definitions of dynamic_mlp.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/dynamic_mlp.hpp"
#include "deeplight/nn/linear.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE DynamicMLPImpl::DynamicMLPImpl(Options options)
    : torch::nn::Module("DynamicMLP"), options_(options) {
  require(options.layers >= 1, "mlp_layers must be at least 1, got ", options.layers);
  for (std::int64_t layer = 0; layer < options.layers; ++layer) {
    const bool first = layer == 0, last = layer == options.layers - 1;
    layers_.push_back(make_layer(std::to_string(layer), first ? options.planes : options.hidden,
                                 last ? options.planes : options.hidden));
  }
}

DEEPLIGHT_INLINE DynamicMLPImpl::Layer DynamicMLPImpl::make_layer(const std::string& number,
                                                                  std::int64_t in,
                                                                  std::int64_t out) {
  Layer layer;
  layer.in = in;
  layer.out = out;
  const std::int64_t guide = options_.guide_planes;
  const auto add = [&](const std::string& name, std::int64_t from, std::int64_t to,
                       bool bias = true) {
    return register_module(name + "_" + number, linear(from, to, bias));
  };
  if (options_.version == DynamicMLPVersion::A) {
    layer.guide1 = add("guide1", guide, in * out);
  } else {
    const bool both = options_.version == DynamicMLPVersion::C;
    layer.token0 = add("token0", both ? in + guide : in, out);
    layer.token1 = add("token1", out, in);
    layer.guide0 = add("guide0", both ? in + guide : guide, out);
    layer.guide1 = add("guide1", out, in * out);
  }
  layer.norm = register_module("norm_" + number, layer_norm(out));
  if (options_.version != DynamicMLPVersion::A) {
    layer.mix = add("mix", out, out, /*bias=*/false);
    layer.mix_norm = register_module("mix_norm_" + number, layer_norm(out));
  }
  return layer;
}

DEEPLIGHT_INLINE at::Tensor DynamicMLPImpl::run(Layer& layer, const at::Tensor& tokens,
                                                const at::Tensor& guide_tokens) {
  at::Tensor row = tokens, guide = guide_tokens;
  if (layer.token0) {
    const bool both = options_.version == DynamicMLPVersion::C;
    const auto beside = both ? at::cat({tokens, guide_tokens}, 2) : at::Tensor();
    row = layer.token1->forward(at::relu(layer.token0->forward(both ? beside : tokens)));
    guide = at::relu(layer.guide0->forward(both ? beside : guide_tokens));
  }
  const auto matrices = layer.guide1->forward(guide).unflatten(2, {layer.in, layer.out});
  const auto product = at::matmul(row.unsqueeze(2), matrices).squeeze(2);
  const auto mapped = at::relu(layer.norm->forward(product));
  if (!layer.mix) return mapped;
  return at::relu(layer.mix_norm->forward(layer.mix->forward(mapped)));
}

DEEPLIGHT_INLINE at::Tensor DynamicMLPImpl::forward(const at::Tensor& tokens,
                                                    const at::Tensor& guide_tokens) {
  require(tokens.dim() == 3 && tokens.size(2) == options_.planes && guide_tokens.dim() == 3 &&
              guide_tokens.size(2) == options_.guide_planes &&
              tokens.size(0) == guide_tokens.size(0) && tokens.size(1) == guide_tokens.size(1),
          "DynamicMLP: tokens ", tokens.sizes(), " and guide tokens ", guide_tokens.sizes(),
          ", expected [B, T, ", options_.planes, "] and [B, T, ", options_.guide_planes, "]");
  at::Tensor result = tokens;
  for (Layer& layer : layers_) result = run(layer, result, guide_tokens);
  return result;
}

}  // namespace deeplight::nn
