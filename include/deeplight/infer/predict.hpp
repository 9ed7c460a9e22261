// Rasters in, super-resolved rasters out: read, prepare, compute tile by tile, write.
//
// The low-resolution raster (r*r times smaller than the rest) is held whole; guides and output pass
// through in tiles, so memory does not grow with them. Image-wide statistics are computed once per
// raster and every output pixel by one owner tile with a halo, so that the result does not depend
// on the tile size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/functional/block_mean.hpp"
#include "deeplight/models/network.hpp"
#include "deeplight/raster/raster_writer.hpp"
#include "deeplight/weights/card.hpp"

namespace deeplight {

struct PredictRequest {
  std::vector<std::filesystem::path> low_resolution;  ///< one band each; the same guides for all
  std::vector<std::filesystem::path> outputs;         ///< one for each low-resolution raster
  std::vector<std::pair<std::string, std::filesystem::path>> guides{};  ///< any order
  std::int64_t tile = 256;  ///< side of an owner tile, low-resolution pixels
  bool align = false;       ///< warp guides that lie on another grid instead of refusing them
  /// Makes block means of the output equal the input, in physical units.
  Consistency consistency = Consistency::none;
  /// Of the outputs. Absent: the input's where it cannot be mistaken for light (negative or NaN),
  /// else NaN.
  std::optional<double> nodata{};
  bool self_ensemble = false;  ///< average over eight flips and rotations, eight times the work
  bool overwrite = false;      ///< replace existing outputs
  Compression compression = Compression::deflate;
  /// Called with tiles done and in all, before the first and after each; false cancels.
  std::function<bool(std::int64_t done, std::int64_t total)> progress{};
};

/// What became of one raster.
struct RasterReport {
  std::filesystem::path low_resolution;
  std::filesystem::path output;
  double mean_in = 0.0;   ///< over valid low-resolution pixels, physical units
  double mean_out = 0.0;  ///< over valid output pixels
  /// Light out over light in, the area of a pixel counted: 1 when all light is kept, and where
  /// there is none at all.
  double light_ratio = 1.0;
  std::int64_t valid_pixels = 0;    ///< of the low resolution
  std::int64_t invalid_pixels = 0;  ///< of the low resolution; nodata in the output
  std::int64_t tiles = 0;
  double seconds = 0.0;
};

struct PredictReport {
  std::vector<RasterReport> rasters;
  std::vector<std::string> warnings;  ///< sentences; the result may mean less than it seems
  double seconds = 0.0;
};

/// Runs `network` on rasters.
///
/// Everything that can be checked is checked before work begins: all inputs, grids, guide names
/// and bands, outputs. A network in training mode runs in evaluation mode and is set back. Pixels
/// whose low-resolution pixel is invalid become nodata; invalid guide pixels are filled with the
/// band's mean and invalidate nothing.
///
/// @param network  of `card`'s architecture; runs on the device of its parameters
/// @param card     how physical values are normalised, what guides are expected
/// @throws GridMismatch     a guide of another grid, without `align`
/// @throws InvalidArgument  guides missing or unknown, band counts, no valid pixel, wrong use
/// @throws FormatError      an input is damaged
/// @throws FileError        an input is missing, an output cannot be written
/// @throws OutOfMemory      a tile does not fit into memory
/// @throws Cancelled        `progress` returned false; finished outputs stay, partial ones do not
PredictReport predict(Network& network, const Card& card, const PredictRequest& request);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/predict_inl.hpp"
#endif
