// Selective kernels over two modalities side by side: main, guide [B, width, H, W] -> the same.
//
// An LSK block (LSK-M), one with channel selection (LSK-CS-M) or an SK block (SK-M) over the
// 2 * width channels, then conv1 2 * width -> width: 13,414, 21,568 and 9,920 parameters at width
// 32. Source: the comparisons of MoCoLSK-Net (GrokLST, arXiv 2409.19835).
#pragma once

#include <ATen/Functions.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <memory>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/lsk_block.hpp"
#include "deeplight/nn/sk_block.hpp"

namespace deeplight::nn {

enum class SelectiveBlock { lsk, lsk_cs, sk };
DEEPLIGHT_ENUM(SelectiveBlock, {{SelectiveBlock::lsk, "lsk"},
                                {SelectiveBlock::lsk_cs, "lsk_cs"},
                                {SelectiveBlock::sk, "sk"}})

struct ConcatenatedSelectionOptions {
  std::int64_t width = 32;
  SelectiveBlock block = SelectiveBlock::lsk;
  std::vector<std::int64_t> kernels = {5, 7};    ///< of the LSK blocks
  std::vector<std::int64_t> dilations = {1, 3};  ///< of the LSK blocks
};
DEEPLIGHT_OPTIONS(ConcatenatedSelectionOptions, width, block, kernels, dilations)

class ConcatenatedSelectionImpl : public torch::nn::Module {
 public:
  using Options = ConcatenatedSelectionOptions;
  explicit ConcatenatedSelectionImpl(Options options = {})
      : torch::nn::Module("ConcatenatedSelection") {
    const std::int64_t both = 2 * options.width;
    if (options.block == SelectiveBlock::sk) {
      sk_ = register_module("block", std::make_shared<SKBlockImpl>(
                                         SKBlockOptions{.width = both, .hidden = options.width}));
    } else {
      const bool channel = options.block == SelectiveBlock::lsk_cs;
      lsk_ = register_module("block",
                             std::make_shared<LSKBlockImpl>(LSKBlockOptions{
                                 .width = both,
                                 .kernels = options.kernels,
                                 .dilations = options.dilations,
                                 .selection = channel ? Selection::channel : Selection::spatial,
                                 .hidden = options.width}));
    }
    merge_ = register_module("merge", conv1(both, options.width));
  }

  at::Tensor forward(const at::Tensor& main, const at::Tensor& guide,
                     const PooledScope& scope = {}) {
    require(main.dim() == 4 && main.sizes() == guide.sizes(), "ConcatenatedSelection: main ",
            main.sizes(), " and guide ", guide.sizes(), " differ");
    const auto both = at::cat({main, guide}, 1);
    const auto inner = scope.of("block");
    return pointwise(merge_, sk_ ? sk_->forward(both, inner) : lsk_->forward(both, inner));
  }

  double margin() const { return static_cast<double>(radius()); }
  std::int64_t radius() const { return sk_ ? SKBlockImpl::radius() : lsk_->radius(); }

 private:
  std::shared_ptr<SKBlockImpl> sk_;
  std::shared_ptr<LSKBlockImpl> lsk_;
  torch::nn::Conv2d merge_{nullptr};
};
using ConcatenatedSelection = Holder<ConcatenatedSelectionImpl>;

}  // namespace deeplight::nn
