// What GuidedSuperResolution asks of its parts: alignment, fusion and refinement, as concepts.
//
// Each part is a torch::nn::Module with a nested options aggregate (described by DEEPLIGHT_OPTIONS)
// and a constructor (const NetworkShape&, Options). `margin()` is its reach in low-resolution
// pixels.
#pragma once

#include <torch/nn/module.h>

#include <concepts>
#include <optional>
#include <vector>

#include "deeplight/nn/network_shape.hpp"
#include "deeplight/nn/types.hpp"

namespace deeplight::nn {

/// Features on the low-resolution grid, [B, width, h, w] each.
struct Aligned {
  at::Tensor main;
  std::vector<at::Tensor> guides;
};

/// What refinement sees besides the fused features.
struct RefinementInputs {
  at::Tensor low_resolution;  ///< [B, 1, h, w], unwarped
  /// Per x2 step, coarse to fine: all guides' features of that size side by side, the raw guides
  /// last; empty without guides.
  std::vector<at::Tensor> guide_pyramid;
};

template <class Part>
concept NetworkPart = std::derived_from<Part, torch::nn::Module> &&
                      std::default_initializable<typename Part::Options> &&
                      std::constructible_from<Part, const NetworkShape&, typename Part::Options> &&
                      requires(const Part part) {
                        { part.margin() } -> std::convertible_to<double>;
                      };

/// Brings the night light and the guides' features onto one frame.
template <class Part>
concept AlignmentModule =
    NetworkPart<Part> &&
    requires(Part part, const at::Tensor& image, const std::vector<at::Tensor>& guides,
             const std::optional<Warp>& warp, const ImageRows& raster) {
      { part.forward(image, guides, warp) } -> std::same_as<Aligned>;
      { part.raster_warp(raster) } -> std::same_as<std::optional<Warp>>;
    };

/// Merges the main features and any number of guides' features, possibly none, into one map.
template <class Part>
concept FusionModule = NetworkPart<Part> && requires(Part part, const at::Tensor& main,
                                                     const std::vector<at::Tensor>& guides) {
  { part.forward(main, guides) } -> std::same_as<at::Tensor>;
};

/// Turns fused low-resolution features into the image, its pyramid and the auxiliary map.
template <class Part>
concept RefinementModule =
    NetworkPart<Part> && requires(Part part, const at::Tensor& fused, const RefinementInputs& in) {
      { part.forward(fused, in) } -> std::same_as<Output>;
    };

}  // namespace deeplight::nn
