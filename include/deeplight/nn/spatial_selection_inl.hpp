// Definitions of spatial_selection.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/dynamic_conv.hpp"
#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/spatial_selection.hpp"

namespace deeplight::nn {
DEEPLIGHT_INLINE SpatialSelectionImpl::SpatialSelectionImpl(Options options)
    : torch::nn::Module("SpatialSelection"), options_(options) {
  require(options.branches == 1 || options.branches == 2,
          "spatial selection takes one or two branches, got ", options.branches);
  require(options.static_kernel == 0 || options.static_kernel % 2 == 1,
          "static_kernel must be odd, or 0 for none, got ", options.static_kernel);
  const std::int64_t half = options.width / 2;
  for (std::int64_t branch = 0; branch < options.branches; ++branch) {
    reductions_.push_back(
        register_module("reduce" + std::to_string(branch), conv1(options.width, half)));
  }
  if (options.static_kernel > 0) {
    masks_ = register_module("masks",
                             torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 2, options.static_kernel)
                                                   .padding(options.static_kernel / 2)));
  }
  expand_ = register_module("expand", conv1(half, options.width));
}

DEEPLIGHT_INLINE at::Tensor SpatialSelectionImpl::convolve(
    const at::Tensor& maps, const std::optional<at::Tensor>& kernel) {
  if (!kernel) return masks_->forward(maps);
  const functional::Pair padding{kernel->size(3) / 2, kernel->size(4) / 2};
  if (kernel->size(0) == 1) return at::conv2d(maps, kernel->squeeze(0), {}, {1, 1}, padding);
  return functional::dynamic_conv2d(maps, *kernel, padding);
}

DEEPLIGHT_INLINE at::Tensor SpatialSelectionImpl::forward(const std::vector<at::Tensor>& branches,
                                                          const std::optional<at::Tensor>& kernel) {
  require(branches.size() == reductions_.size(), "spatial selection of ", reductions_.size(),
          " branches got ", branches.size());
  require(kernel.has_value() == (options_.static_kernel == 0),
          kernel ? "spatial selection has a static kernel and takes none"
                 : "spatial selection needs a kernel with each call");
  std::vector<at::Tensor> reduced;
  for (std::size_t i = 0; i < branches.size(); ++i)
    reduced.push_back(pointwise(reductions_[i], branches[i]));
  const auto all = reduced.size() == 1 ? reduced.front() : at::cat(reduced, 1);
  const auto maps = at::cat({all.mean(1, /*keepdim=*/true), all.amax(1, /*keepdim=*/true)}, 1);
  const auto masks = at::sigmoid(convolve(maps, kernel));
  const auto selected =
      reduced.front() * masks.narrow(1, 0, 1) + reduced.back() * masks.narrow(1, 1, 1);
  return pointwise(expand_, selected);
}

}  // namespace deeplight::nn
