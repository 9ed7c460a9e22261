// Scores of rasters larger than memory: read by blocks of rows, valued as one whole image.
//
// Every block of rows is read once and handed to accumulators; scores over windows keep the last
// rows of the block before, so that no window is lost or counted twice. The values are those of the
// functions of metrics/ on the whole images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/infer/raster_scores.hpp"
#include "deeplight/raster/raster_reader.hpp"

namespace deeplight {

struct ScoreRequest {
  std::filesystem::path truth;
  /// Names and files of one band on the truth's grid.
  std::vector<std::pair<std::string, std::filesystem::path>> predictions{};
  /// Adds the rows "bicubic" (clamped at 0) and "bicubic + block mean" of this raster, whose cells
  /// are an integer number of times larger.
  std::optional<std::filesystem::path> low_resolution{};
  RasterScoreOptions scores{};     ///< data range, threshold, how much is computed
  std::optional<Window> window{};  ///< of the truth; the whole otherwise
  /// Zones of a city-level regression, a raster or polygons: see `open_zones`. Adds R2 and slope.
  std::optional<std::filesystem::path> zones{};
  /// A raster of (first prediction - truth) on the truth's grid, NaN where either has no value.
  std::optional<std::filesystem::path> error_map{};
  std::int64_t block_pixels = std::int64_t{1} << 21;  ///< memory: about 100 bytes for each
  /// Called with rows done and in all, before the first block and after each; false cancels.
  std::function<bool(std::int64_t done, std::int64_t total)> progress{};
};

/// The scores of one candidate.
struct ScoredRaster {
  std::string name;
  std::vector<std::pair<std::string, double>> scores;  ///< by key, in one order for all
  std::int64_t missing = 0;  ///< pixels that the truth has and this candidate has not
};

struct ScoreReport {
  std::int64_t rows = 0;  ///< of what was compared
  std::int64_t columns = 0;
  std::int64_t valid = 0;      ///< pixels that the truth and every candidate have: those scored
  std::int64_t lit = 0;        ///< of them, with truth above the threshold
  double truth_maximum = 0.0;  ///< over the truth's valid pixels; -inf where there is none
  std::vector<ScoredRaster> rasters;
  double seconds = 0.0;
};

/// Two rasters can be compared: one coordinate system and extent, the fine one `scale` times the
/// cells, and temperatures in one unit.
/// @param name  of the fine one in messages: "truth", "prediction"
/// @throws GridMismatch     with both files and both values
/// @throws InvalidArgument  one states kelvin, the other degrees Celsius
void check_comparable(const RasterInfo& coarse, const RasterInfo& fine, const std::string& name,
                      std::int64_t scale);

/// Scores predictions, and bicubic interpolation if asked for, over the pixels that all of them
/// have.
/// @throws GridMismatch     a raster of another grid than the truth's
/// @throws InvalidArgument  kelvin beside Celsius, no valid pixel, window outside the truth, data
///                          range not above 0, nothing to score
/// @throws FormatError      an input is damaged
/// @throws FileError        an input is missing, the error map cannot be written
/// @throws Cancelled        `progress` returned false; nothing is left behind
ScoreReport score_rasters(const ScoreRequest& request);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/score_rasters_inl.hpp"
#endif
