// The base of every network: what `load` and `create_model` give, whatever the architecture.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "deeplight/core/options.hpp"
#include "deeplight/nn/types.hpp"

namespace deeplight {

/// Values of the whole image that a network needs and that a tile cannot know.
/// Computed once per raster by `Network::image_statistics`, handed to every tile.
struct ImageStatistics {
  std::optional<Warp> warp;

  /// The same statistics seen from a tile whose first pixel is (row, column) of the whole image.
  ImageStatistics for_tile(std::int64_t row, std::int64_t column) const {
    ImageStatistics moved = *this;
    if (moved.warp) {
      moved.warp->centre_x -= static_cast<double>(column);
      moved.warp->centre_y -= static_cast<double>(row);
    }
    return moved;
  }
};

/// A window of a network's low-resolution input, in its pixels.
struct Part {
  std::int64_t row = 0, column = 0;
  std::int64_t rows = 0, columns = 0;
};

/// A super-resolution network. Works in normalised units; only a card's preprocessor knows physics.
class Network : public torch::nn::Module {
 public:
  using torch::nn::Module::Module;

  /// Registered name of the architecture, e.g. "deeplight_sr".
  virtual std::string architecture() const = 0;
  /// Every option with its value; `create_model(architecture(), options())` builds the same
  /// network.
  virtual Json options() const = 0;
  /// Integer factor r between low-resolution and output pixels along each side.
  virtual std::int64_t scale() const = 0;
  /// Guides in their declared order.
  virtual std::vector<Guide> guides() const = 0;
  /// How far, in low-resolution pixels, an input pixel can reach: the halo that makes tiles exact.
  virtual std::int64_t margin() const = 0;
  /// Tile origins must be multiples of this many low-resolution pixels.
  virtual std::int64_t tile_multiple() const { return 1; }
  /// Names of the image-wide statistics, for `deeplight info`; empty when there are none.
  virtual std::vector<std::string> statistic_names() const { return {}; }

  /// Image-wide statistics from the whole low-resolution image [1, 1, h, w].
  virtual ImageStatistics image_statistics(const at::Tensor& low_resolution) { return {}; }

  /// @param low_resolution  [B, 1, h, w], normalised
  /// @param guides          each [B, bands, r*h, r*w], normalised
  /// @param statistics      of the whole image; computed from `low_resolution` itself when null
  /// @throws InvalidArgument  a guide is missing, unknown, or of another shape than stated
  virtual Output forward(const at::Tensor& low_resolution, const GuideTensors& guides,
                         const ImageStatistics* statistics = nullptr) = 0;

  /// The image of one part of the input, [B, 1, r*part.rows, r*part.columns]; the rest of the input
  /// is halo. Equals the crop of `forward`; networks that end in local layers spare the rest.
  virtual at::Tensor forward_part(const at::Tensor& low_resolution, const GuideTensors& guides,
                                  const Part& part, const ImageStatistics* statistics = nullptr) {
    return forward(low_resolution, guides, statistics)
        .image.narrow(2, scale() * part.row, scale() * part.rows)
        .narrow(3, scale() * part.column, scale() * part.columns);
  }
};

}  // namespace deeplight
