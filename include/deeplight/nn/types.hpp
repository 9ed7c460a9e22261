// What networks take and give: guides, fusion inputs, outputs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "deeplight/core/options.hpp"

namespace deeplight {

/// One guide modality: a name and the number of bands that the network sees.
struct Guide {
  std::string name;
  std::int64_t bands = 1;
};
DEEPLIGHT_OPTIONS(Guide, name, bands)

/// Guides by name, each [B, bands, r*h, r*w]. The network's options decide their order.
using GuideTensors = std::map<std::string, at::Tensor>;

/// An affine displacement of a low-resolution image, in its pixels:
/// source(x) = x + linear (x - centre) + shift, one and the same for every tile of a raster.
struct Warp {
  at::Tensor matrix;      ///< [B or 1, 2, 3]: rows (x, y); columns (linear x, linear y, shift)
  double centre_x = 0.0;  ///< where the linear part vanishes, in pixels of the image at hand
  double centre_y =
      0.0;  ///< (pixel centres at integers: an image of width w has its own at (w-1)/2)
};

/// An image [1, 1, rows, columns] that is read in strips, because it may not fit into memory.
struct ImageRows {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  /// Rows `first` to `first + count - 1`, [1, 1, count, columns].
  std::function<at::Tensor(std::int64_t first, std::int64_t count)> read;
};

/// Strips of an image [1, 1, h, w] that is in memory.
inline ImageRows rows_of(const at::Tensor& image) {
  return {image.size(2), image.size(3), [image](std::int64_t first, std::int64_t count) {
            return image.narrow(2, first, count);
          }};
}

/// What a network gives, in its normalised units.
struct Output {
  at::Tensor image;                            ///< [B, 1, r*h, r*w]
  std::vector<at::Tensor> pyramid;             ///< coarse to fine; the last element is `image`
  std::optional<at::Tensor> auxiliary_logits;  ///< [B, 1, r*h, r*w], where there is such a head
};

}  // namespace deeplight
