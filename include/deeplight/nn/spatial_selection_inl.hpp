// Definitions of spatial_selection.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/convolution.hpp"
#include "deeplight/nn/spatial_selection.hpp"

namespace deeplight::nn {
namespace detail {

/// Each sample with its own kernel: one grouped convolution over all of them.
inline at::Tensor convolve_per_sample(const at::Tensor& maps, const at::Tensor& kernel) {
  const std::int64_t batch = maps.size(0), out = kernel.size(1), in = kernel.size(2);
  const std::int64_t rows = kernel.size(3), columns = kernel.size(4);
  const auto padding = std::vector<std::int64_t>{rows / 2, columns / 2};
  if (kernel.size(0) == 1) return at::conv2d(maps, kernel.squeeze(0), {}, {1, 1}, padding);
  const auto flat = maps.reshape({1, batch * in, maps.size(2), maps.size(3)});
  const auto kernels = kernel.reshape({batch * out, in, rows, columns});
  return at::conv2d(flat, kernels, {}, {1, 1}, padding, {1, 1}, batch)
      .view({batch, out, maps.size(2), maps.size(3)});
}

}  // namespace detail

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

DEEPLIGHT_INLINE at::Tensor SpatialSelectionImpl::forward(const std::vector<at::Tensor>& branches,
                                                          const std::optional<at::Tensor>& kernel) {
  require(branches.size() == reductions_.size(), "spatial selection of ", reductions_.size(),
          " branches got ", branches.size());
  require(kernel.has_value() == (options_.static_kernel == 0),
          kernel ? "spatial selection has a static kernel and takes none"
                 : "spatial selection needs a kernel with each call");
  std::vector<at::Tensor> reduced;
  for (std::size_t i = 0; i < branches.size(); ++i)
    reduced.push_back(reductions_[i]->forward(branches[i]));
  const auto all = reduced.size() == 1 ? reduced.front() : at::cat(reduced, 1);
  const auto maps = at::cat({all.mean(1, /*keepdim=*/true), all.amax(1, /*keepdim=*/true)}, 1);
  const auto masks =
      at::sigmoid(kernel ? detail::convolve_per_sample(maps, *kernel) : masks_->forward(maps));
  const auto selected =
      reduced.front() * masks.narrow(1, 0, 1) + reduced.back() * masks.narrow(1, 1, 1);
  return expand_->forward(selected);
}

}  // namespace deeplight::nn
