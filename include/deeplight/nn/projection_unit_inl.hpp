// Definitions of projection_unit.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/projection_conv.hpp"
#include "deeplight/nn/projection_unit.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE ProjectionUnitImpl::ProjectionUnitImpl(Options options)
    : torch::nn::Module("ProjectionUnit"), options_(options) {
  const std::int64_t scale = options.scale;
  require(scale == 2 || scale == 4 || scale == 8 || scale == 16,
          "a projection's scale must be 2, 4, 8 or 16, got ", scale);
  const std::int64_t kernel = scale + 4, padding = 2;
  for (const std::int64_t index : {0, 1, 2}) {
    const std::string number = std::to_string(index);
    const std::int64_t in = index == 1 ? options.out : options.in;
    const std::int64_t out = index == 1 ? options.in : options.out;
    if (transposed(index)) {
      transposed_[index] = register_module(
          "project" + number,
          torch::nn::ConvTranspose2d(
              torch::nn::ConvTranspose2dOptions(in, out, kernel).stride(scale).padding(padding)));
    } else {
      convolutions_[index] = register_module(
          "project" + number,
          torch::nn::Conv2d(
              torch::nn::Conv2dOptions(in, out, kernel).stride(scale).padding(padding)));
    }
    slopes_[index] = register_parameter("slope" + number, at::full({out}, 0.25));
  }
}

DEEPLIGHT_INLINE bool ProjectionUnitImpl::transposed(std::int64_t index) const {
  return (options_.direction == ProjectionDirection::up) == (index != 1);
}

DEEPLIGHT_INLINE at::Tensor ProjectionUnitImpl::project(std::int64_t index,
                                                        const at::Tensor& features,
                                                        const std::optional<at::Tensor>& residual,
                                                        double alpha) {
  // Between many channels the arithmetic decides, and there oneDNN's convolutions are the faster;
  // between few, reading and writing the fine grid once does.
  constexpr std::int64_t many = 96;
  if (std::min(options_.in, options_.out) > many) {
    const auto sums = transposed(index) ? transposed_[index]->forward(features)
                                        : convolutions_[index]->forward(features);
    const auto rectified = at::prelu(sums, slopes_[index]);
    return residual ? at::add(rectified, *residual, alpha) : rectified;
  }
  const functional::ProjectionTail tail{slopes_[index], residual, alpha};
  const functional::Pair stride{options_.scale, options_.scale}, padding{2, 2};
  if (transposed(index)) {
    const auto& layer = transposed_[index];
    return functional::projection_conv_transpose2d(features, layer->weight, layer->bias, stride,
                                                   padding, tail);
  }
  const auto& layer = convolutions_[index];
  return functional::projection_conv2d(features, layer->weight, layer->bias, stride, padding, tail);
}

DEEPLIGHT_INLINE at::Tensor ProjectionUnitImpl::forward(const at::Tensor& features) {
  require(options_.direction == ProjectionDirection::up ||
              (features.size(2) % options_.scale == 0 && features.size(3) % options_.scale == 0),
          "a projection down needs sides that are multiples of ", options_.scale, ", got ",
          features.sizes());
  const auto there = project(0, features);
  const auto lost = project(1, there, features, -1.0);
  return project(2, lost, there, 1.0);
}

DEEPLIGHT_INLINE Reach ProjectionUnitImpl::reach(const Reach& from) const {
  const std::int64_t scale = options_.scale;
  if (options_.direction == ProjectionDirection::up)
    return from.expanded(scale).reduced(scale).expanded(scale);
  return from.reduced(scale).expanded(scale).reduced(scale);
}

DEEPLIGHT_INLINE double ProjectionUnitImpl::margin() const {
  const Reach cell;
  if (options_.direction == ProjectionDirection::up)
    return static_cast<double>(reach(cell).cells(options_.scale).radius());
  return static_cast<double>(reach(cell.covered(options_.scale)).radius());
}

}  // namespace deeplight::nn
