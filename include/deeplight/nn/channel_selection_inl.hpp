// Definitions of channel_selection.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/channel_selection.hpp"
#include "deeplight/nn/linear.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE ChannelSelectionImpl::ChannelSelectionImpl(Options options)
    : torch::nn::Module("ChannelSelection"), options_(options) {
  require(options.branches >= 1, "branches must be at least 1, got ", options.branches);
  squeeze_ = register_module("squeeze", linear(options.width, options.hidden));
  for (std::int64_t branch = 0; branch < options.branches; ++branch) {
    expansions_.push_back(
        register_module("expand" + std::to_string(branch), linear(options.hidden, options.width)));
  }
}

DEEPLIGHT_INLINE at::Tensor ChannelSelectionImpl::forward(
    const std::vector<at::Tensor>& branches, const std::optional<at::Tensor>& condition,
    const PooledScope& scope) {
  require(branches.size() == expansions_.size(), "channel selection of ", expansions_.size(),
          " branches got ", branches.size());
  const auto weights = scope.value("weights", [&] {
    at::Tensor mean;
    for (const at::Tensor& branch : branches) {
      const auto own = branch.mean({2, 3});
      mean = mean.defined() ? mean + own : own;
    }
    auto hidden = squeeze_->forward(mean);
    if (condition) hidden = hidden + *condition;
    if (options_.activation) hidden = at::relu(hidden);
    std::vector<at::Tensor> scores;
    for (auto& expand : expansions_) scores.push_back(expand->forward(hidden));
    return at::softmax(at::stack(scores, 1), 1).unsqueeze(-1).unsqueeze(-1);  // [B, n, width, 1, 1]
  });
  at::Tensor sum;
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const auto weighted = branches[i] * weights.select(1, static_cast<std::int64_t>(i));
    sum = sum.defined() ? sum + weighted : weighted;
  }
  return sum;
}

}  // namespace deeplight::nn
