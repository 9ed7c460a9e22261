// Rasters in, super-resolved rasters out: read, prepare, compute, write, as a pipeline.
//
// Low resolution, guides and output pass through in tiles, so memory does not grow with the raster.
// A first pass in strips surveys the low resolution and computes image-wide statistics; every
// output pixel is computed by one owner tile with a halo, so that the result does not depend on the
// tile size (networks that pool their features record them on one tile: there it does). Finished
// tiles wait in a journal beside the output, which is encoded once, in order, when all are there:
// an interrupted run is resumed, and gives the same bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/functional/block_mean.hpp"
#include "deeplight/models/network.hpp"
#include "deeplight/raster/quality_mask.hpp"
#include "deeplight/raster/sinks.hpp"
#include "deeplight/weights/card.hpp"

namespace deeplight {

/// Numbers in which a network computes.
enum class Precision {
  float32,
  bfloat16,  ///< PyTorch's autocast: convolutions and products in bfloat16, sums in float32
};
DEEPLIGHT_ENUM(Precision, {{Precision::float32, "float32"}, {Precision::bfloat16, "bfloat16"}})

struct PredictRequest {
  std::vector<std::filesystem::path> low_resolution;  ///< one band each; the same guides for all
  std::vector<std::filesystem::path> outputs;         ///< one for each low-resolution raster
  std::vector<std::pair<std::string, std::filesystem::path>> guides{};  ///< any order
  /// Bits of quality rasters that make low-resolution pixels invalid: none, one for all rasters, or
  /// one for each.
  std::vector<QualityMask> quality{};
  std::int64_t tile = 256;  ///< side of an owner tile, low-resolution pixels
  bool align = false;       ///< warp guides that lie on another grid instead of refusing them
  /// Makes block means of the output equal the input, in physical units.
  Consistency consistency = Consistency::none;
  /// No output below 0; with additive consistency the nearest image that has the block means.
  bool non_negative = false;
  /// Of the outputs. Absent: the input's where it cannot be mistaken for light (negative or NaN),
  /// else NaN.
  std::optional<double> nodata{};
  bool self_ensemble = false;  ///< average over eight flips and rotations, eight times the work
  /// A second band: standard deviation (n - 1) of the eight images of the self-ensemble, in
  /// physical units, before consistency. Turns the self-ensemble on.
  bool uncertainty = false;
  bool overwrite = false;  ///< replace existing outputs, discard interrupted runs
  bool resume = false;     ///< continue where an interrupted run of the same job stopped
  Compression compression = Compression::deflate;
  std::string format{};  ///< of the outputs, one of `sinks()`; absent: by the name of the file
  Precision precision = Precision::float32;
  std::int64_t batch = 1;  ///< tiles of equal shape that go through the network together
  /// Tiles read ahead while others are computed: hides the disk, each takes its guides' memory.
  std::int64_t prefetch = 1;
  std::int64_t threads = 0;  ///< of PyTorch's operators; 0 leaves them as they are
  /// Such as {"cuda:0", "cuda:1"}: one copy of the network on each. Empty: where it is.
  std::vector<std::string> devices{};
  /// Folder for finished tiles; absent: a hidden one beside each output. Needs room for the
  /// uncompressed output.
  std::optional<std::filesystem::path> scratch{};
  /// Called in the calling thread with tiles done and in all, before the first, after each, and
  /// while the output is encoded; false cancels.
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
  std::int64_t resumed = 0;  ///< of the tiles, taken over from an interrupted run
  double seconds = 0.0;      ///< of rasters that went through together, its share
};

struct PredictReport {
  std::vector<RasterReport> rasters;
  std::vector<std::string> warnings;  ///< sentences; the result may mean less than it seems
  double seconds = 0.0;
};

/// Runs `network` on rasters. Those that share guides and size go through together, tile by tile,
/// so that each window of a guide is read once for all of them.
///
/// Everything that can be checked is checked before work begins: all inputs, grids, guide names
/// and bands, outputs. A network in training mode runs in evaluation mode and is set back. Pixels
/// whose low-resolution pixel is invalid become nodata; invalid guide pixels are filled with the
/// band's mean and invalidate nothing.
///
/// A failure or a cancelled run leaves no output under its name, and keeps the finished tiles (see
/// tile_store.hpp) for `resume`; what it then gives equals an undisturbed run, byte for byte.
///
/// @param network  of `card`'s architecture; runs on the device of its parameters
/// @param card     how physical values are normalised, what guides are expected
/// @throws GridMismatch     a guide of another grid, without `align`
/// @throws InvalidArgument  guides missing or unknown, band counts, no valid pixel, wrong use,
///                          `resume` of another job
/// @throws FormatError      an input is damaged
/// @throws FileError        an input is missing, an output cannot be written or is being written
/// @throws OutOfMemory      a tile does not fit into memory
/// @throws Cancelled        `progress` returned false
PredictReport predict(Network& network, const Card& card, const PredictRequest& request);

/// What the values of one output depend on, and how its work can be shared.
struct PredictionPlan {
  Json job;                 ///< options, sizes, checksums of weights and inputs
  std::int64_t tiles = 0;   ///< owner tiles
  std::int64_t groups = 0;  ///< the units that shards consist of: batches of tiles
};

/// Checks everything as `predict` does and describes each output's job.
std::vector<PredictionPlan> plan_prediction(Network& network, const Card& card,
                                            const PredictRequest& request);

/// Part `index` of `count` of the work: contiguous groups of tiles.
struct Shard {
  std::int64_t index = 0;
  std::int64_t count = 1;
};

/// Where the tiles of a shard of an output wait for `merge_shards`.
std::filesystem::path shard_folder(const PredictRequest& request, std::size_t output, Shard shard);

/// Computes a shard of each raster; tiles that an earlier run of it finished are kept.
/// @param plans  of `plan_prediction`; the job must still be the same
/// @throws InvalidArgument  no such shard; the job differs from the plan, and in what
PredictReport predict_shard(Network& network, const Card& card, const PredictRequest& request,
                            const std::vector<PredictionPlan>& plans, Shard shard);

/// Assembles the outputs of whatever shards together hold every tile; equals `predict`, byte for
/// byte. Needs the low-resolution rasters, no guides and no network.
/// @throws InvalidArgument  tiles are missing (how many, the first), or of another job than planned
/// @throws FormatError      a tile's checksum does not hold
/// @throws FileError        a shard is still being written, the disk refused
PredictReport merge_shards(const Card& card, const PredictRequest& request,
                           const std::vector<PredictionPlan>& plans);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/predict_inl.hpp"
#endif
