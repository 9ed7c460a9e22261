// Channel selection: for each channel, how much of each branch: [B, width, h, w] x 2 -> the same,
// once.
//
// Mean over the image of the branches' sum; Linear width -> hidden, optionally plus a vector from
// elsewhere and a ReLU; one Linear hidden -> width a branch; softmax over the branches; weighted
// sum. Source: SKNet (Li et al. 2019, arXiv 1903.06586); vector given: MoCoLSK-CS (arXiv
// 2409.19835), which has no ReLU.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <optional>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/pooled_scope.hpp"

namespace deeplight::nn {

struct ChannelSelectionOptions {
  std::int64_t width = 32;
  std::int64_t hidden = 32;
  std::int64_t branches = 2;
  bool activation = false;  ///< ReLU after the first Linear
};
DEEPLIGHT_OPTIONS(ChannelSelectionOptions, width, hidden, branches, activation)

class ChannelSelectionImpl : public torch::nn::Module {
 public:
  using Options = ChannelSelectionOptions;
  explicit ChannelSelectionImpl(Options options = {});

  /// @param condition  [B or 1, hidden], added to what the branches say
  /// @throws InvalidArgument  another number of branches
  at::Tensor forward(const std::vector<at::Tensor>& branches,
                     const std::optional<at::Tensor>& condition = std::nullopt,
                     const PooledScope& scope = {});

  /// Zero: with the weights given, the part is local.
  static double margin() { return 0; }

 private:
  Options options_;
  torch::nn::Linear squeeze_{nullptr};
  std::vector<torch::nn::Linear> expansions_;
};
using ChannelSelection = Holder<ChannelSelectionImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/channel_selection_inl.hpp"
#endif
