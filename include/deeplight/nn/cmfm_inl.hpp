// Definitions of cmfm.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/cmfm.hpp"
#include "deeplight/nn/convolution.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE CMFMImpl::CMFMImpl(Options options)
    : torch::nn::Module("CMFM"), options_(options) {
  require(options.blocks >= 1, "blocks must be at least 1, got ", options.blocks);
  const std::int64_t width = options.width;
  for (std::int64_t stage = 0; stage < stages; ++stage) {
    const std::string number = std::to_string(stage);
    if (options.cross_branch)
      projections_.push_back(register_module("project" + number, conv1(width, width)));
    for (const std::int64_t branch : {0, 1}) {
      const std::string letter = branch == 0 ? "_a" : "_b";
      if (stage > 0)
        merges_[branch].push_back(
            register_module("merge" + letter + number, conv1(2 * width, width)));
      for (std::int64_t block = 0; block < options.blocks; ++block) {
        blocks_[branch].emplace_back(ResidualBlockOptions{.width = width});
        register_module("blocks" + letter + number + "_" + std::to_string(block),
                        blocks_[branch].back().ptr());
      }
    }
  }
  out0_ = register_module("out0", conv3(2 * width, width));
  out1_ = register_module("out1", conv3(width, width));
}

DEEPLIGHT_INLINE at::Tensor CMFMImpl::run_blocks(std::int64_t branch, std::int64_t stage,
                                                 at::Tensor features) {
  for (std::int64_t block = 0; block < options_.blocks; ++block)
    features = blocks_[branch][stage * options_.blocks + block](features);
  return features;
}

DEEPLIGHT_INLINE at::Tensor CMFMImpl::forward(const at::Tensor& a, const at::Tensor& b) {
  require(a.sizes() == b.sizes(), "CMFM: branches differ, ", a.sizes(), " and ", b.sizes());
  require(a.dim() == 4 && a.size(2) % 4 == 0 && a.size(3) % 4 == 0,
          "CMFM: sides must be multiples of 4, got ", a.sizes());
  at::Tensor y_a, y_b;
  for (std::int64_t stage = 0; stage < stages; ++stage) {
    const std::int64_t divisor = std::int64_t{1} << (stages - 1 - stage);
    const auto resize = [&](const at::Tensor& features) {
      return at::upsample_bilinear2d(features, {a.size(2) / divisor, a.size(3) / divisor}, false);
    };
    at::Tensor x_a = divisor == 1 ? a : resize(a), x_b = divisor == 1 ? b : resize(b);
    if (stage > 0) {
      x_a = pointwise(merges_[0][stage - 1], at::cat({resize(y_a), x_a}, 1));
      x_b = pointwise(merges_[1][stage - 1], at::cat({resize(y_b), x_b}, 1));
    }
    if (options_.cross_branch) x_a = x_a + pointwise(projections_[stage], x_b);
    y_a = run_blocks(0, stage, x_a);
    y_b = run_blocks(1, stage, x_b);
  }
  return convolved(out1_, convolved(out0_, at::cat({y_a, y_b}, 1), 0), 0);
}

DEEPLIGHT_INLINE double CMFMImpl::margin() const {
  const double stage = 2.0 * static_cast<double>(options_.blocks);  // pixels of that stage
  const double coarse =
      2 + 4 * stage + 4;  // down to 1/4, blocks, and up: one neighbour of 4 pixels
  const double middle = 2 * stage + 2;
  return coarse + middle + stage + 2;
}

}  // namespace deeplight::nn
