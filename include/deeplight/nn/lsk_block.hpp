// LSK block: an image times what a large selective kernel says of it: [B, width, h, w] -> the same.
//
// Depthwise cascade, selection among its branches, times the input. Spatial selection is LSKNet's
// block (Li et al. 2023, arXiv 2303.09030); channel selection chooses for each channel instead:
// conv1 width -> width on each branch, then ChannelSelection.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/channel_selection.hpp"
#include "deeplight/nn/depthwise_cascade.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/spatial_selection.hpp"

namespace deeplight::nn {

enum class Selection { spatial, channel };
DEEPLIGHT_ENUM(Selection, {{Selection::spatial, "spatial"}, {Selection::channel, "channel"}})

struct LSKBlockOptions {
  std::int64_t width = 32;
  std::vector<std::int64_t> kernels = {5, 7};    ///< odd
  std::vector<std::int64_t> dilations = {1, 3};  ///< one a kernel
  Selection selection = Selection::spatial;
  std::int64_t static_kernel = 7;  ///< of the masks of spatial selection
  std::int64_t hidden = 32;        ///< of channel selection
};
DEEPLIGHT_OPTIONS(LSKBlockOptions, width, kernels, dilations, selection, static_kernel, hidden)

class LSKBlockImpl : public torch::nn::Module {
 public:
  using Options = LSKBlockOptions;
  explicit LSKBlockImpl(Options options = {});

  at::Tensor forward(const at::Tensor& features, const PooledScope& scope = {});

  double margin() const { return static_cast<double>(radius()); }
  std::int64_t radius() const;

 private:
  Options options_;
  DepthwiseCascade cascade_;
  std::shared_ptr<SpatialSelectionImpl> spatial_;
  std::vector<torch::nn::Conv2d> mixes_;
  std::shared_ptr<ChannelSelectionImpl> channel_;
};
using LSKBlock = Holder<LSKBlockImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/lsk_block_inl.hpp"
#endif
