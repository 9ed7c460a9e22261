// The base of every network: what `load` and `create_model` give, whatever the architecture.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/nn/types.hpp"

namespace deeplight {

/// Values of the whole image that a network needs and that a tile cannot know, handed to every
/// tile.
///
/// `warp` comes from the low-resolution image alone (`Network::image_statistics`). `pooled` arises
/// inside the network, from its features (channel attention, generated kernels), and is recorded by
/// a pass over one representative window (`Network::representative_statistics`). What is absent, a
/// forward computes from the very input that it is given.
struct ImageStatistics {
  std::optional<Warp> warp;
  /// By the name of the part that they enter; each has a batch of one. The same for every tile.
  std::map<std::string, at::Tensor> pooled;

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
  /// How guides should lie in memory to spare `forward_part` a copy of them; any layout is right.
  virtual at::MemoryFormat guide_layout(c10::DeviceType device) const {
    return at::MemoryFormat::Contiguous;
  }
  /// Names of the image-wide statistics, for `deeplight info`; empty when there are none.
  virtual std::vector<std::string> statistic_names() const { return {}; }

  /// Image-wide statistics from the whole low-resolution image [1, 1, h, w].
  virtual ImageStatistics image_statistics(const at::Tensor& low_resolution) { return {}; }
  /// The same, bit for bit, of an image that is read in strips. This one reads it whole: networks
  /// that can do with less override it.
  virtual ImageStatistics streamed_statistics(const ImageRows& low_resolution) {
    return image_statistics(low_resolution.read(0, low_resolution.rows));
  }

  /// Whether tiles need pooled values. A caller that cuts a raster into tiles then
  ///   1. chooses one window: the whole raster where it fits into one tile with its halo, else a
  ///      tile-sized one (which one changes the result: the choice must not depend on order,
  ///      threads or shards, and the window should hold valid pixels);
  ///   2. calls `representative_statistics` on it, in evaluation mode, once for each symmetry of a
  ///      self-ensemble, since pooled features turn with the image;
  ///   3. hands the pooled values to every tile, this window's own tile included.
  /// With them `margin` is true and tiles equal the whole image computed with the same values.
  virtual bool needs_representative_pass() const { return false; }

  /// Records the pooled values in one forward pass over a window.
  /// @param low_resolution  [1, 1, h, w], normalised
  /// @param guides          each [1, bands, r*h, r*w], normalised
  /// @param statistics      `image_statistics` seen from this window (`for_tile`), or null
  /// @return `statistics`, in this window's frame, with `pooled` filled; unchanged where nothing is
  ///         needed
  /// @throws InvalidArgument  as `forward`
  virtual ImageStatistics representative_statistics(const at::Tensor& low_resolution,
                                                    const GuideTensors& guides,
                                                    const ImageStatistics* statistics = nullptr) {
    return statistics != nullptr ? *statistics : ImageStatistics{};
  }

  /// Whether the network is cut into segments that can be computed again in the backward pass.
  virtual bool can_checkpoint_activations() const { return false; }
  /// Less memory for longer steps: segments keep their inputs alone (nn/checkpoint.hpp). How a
  /// network runs, not what it is: no option of the card.
  /// @throws InvalidArgument  `on`, and the network has no segments
  void set_checkpoint_activations(bool on) {
    require(!on || can_checkpoint_activations(), "'", architecture(),
            "' cannot checkpoint its activations");
    checkpoint_activations_ = on;
  }
  bool checkpoint_activations() const { return checkpoint_activations_; }

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

 private:
  bool checkpoint_activations_ = false;
};

}  // namespace deeplight
