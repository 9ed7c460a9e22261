// Back-projection between the low-resolution and the fine grid:
// up [B, in, h, w] -> [B, out, r*h, r*w], down [B, in, r*h, r*w] -> [B, out, h, w].
//
// a0 = PReLU(P x), b0 = PReLU(P' a0), a1 = PReLU(P'' (b0 - x)), out = a0 + a1: what the first
// projection loses on the way there and back is projected once more. Up: P and P'' are transposed
// convolutions, P' a convolution; down: the other way round. Kernel scale + 4, stride scale,
// padding 2; one slope a channel. Source: DBPN (Haris et al. 2018, arXiv 1803.02735).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <optional>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/reach.hpp"

namespace deeplight::nn {

enum class ProjectionDirection { up, down };
DEEPLIGHT_ENUM(ProjectionDirection,
               {{ProjectionDirection::up, "up"}, {ProjectionDirection::down, "down"}})

struct ProjectionUnitOptions {
  std::int64_t in = 32;
  std::int64_t out = 32;
  std::int64_t scale = 2;  ///< 2, 4, 8 or 16
  ProjectionDirection direction = ProjectionDirection::up;
};
DEEPLIGHT_OPTIONS(ProjectionUnitOptions, in, out, scale, direction)

class ProjectionUnitImpl : public torch::nn::Module {
 public:
  using Options = ProjectionUnitOptions;
  /// @throws InvalidArgument  another scale
  explicit ProjectionUnitImpl(Options options = {});

  at::Tensor forward(const at::Tensor& features);

  /// Pixels of the other grid that a change in `from` can reach.
  Reach reach(const Reach& from) const;
  /// Reach in low-resolution pixels of a change within one of them.
  double margin() const;

 private:
  /// PReLU of one projection, plus alpha * residual.
  at::Tensor project(std::int64_t index, const at::Tensor& features,
                     const std::optional<at::Tensor>& residual = std::nullopt, double alpha = 1.0);
  bool transposed(std::int64_t index) const;

  Options options_;
  torch::nn::Conv2d convolutions_[3] = {nullptr, nullptr, nullptr};
  torch::nn::ConvTranspose2d transposed_[3] = {nullptr, nullptr, nullptr};
  at::Tensor slopes_[3];
};
using ProjectionUnit = Holder<ProjectionUnitImpl>;

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/projection_unit_inl.hpp"
#endif
