// Shorthand for linear layers and their normalisation.
#pragma once

#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <cstdint>

namespace deeplight::nn {

/// Linear map of the last dimension.
inline torch::nn::Linear linear(std::int64_t in, std::int64_t out, bool bias = true) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(bias));
}

/// Normalisation over the last dimension, with scale and shift.
inline torch::nn::LayerNorm layer_norm(std::int64_t size) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({size}));
}

}  // namespace deeplight::nn
