// Number of parameters of a part, for tests that hold it against hand arithmetic.
#pragma once

#include <torch/nn/module.h>

inline std::int64_t count_of(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}
