// The scores of an evaluation, fed with blocks of rows from the top of an image to its bottom.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/metrics/niqe.hpp"

namespace deeplight {

struct RasterScoreOptions {
  std::optional<double> data_range{};  ///< peak of the truth's units; needed, never guessed
  double lit_threshold = 0.0;          ///< lit means truth > threshold
  std::int64_t scale = 0;              ///< fine cells along a coarse one, for ERGAS; 0: not known
  bool everything = false;             ///< all scores instead of those that matter most
  /// Adds RMSE and bias where the truth is at or above this.
  std::optional<double> saturation{};
  /// Adds pixels, bias, MAE and RMSE per bin of the truth; K + 1 ascending edges.
  std::vector<double> brightness_edges{};
  std::optional<metrics::NiqeModel> niqe_model{};  ///< adds NIQE, where blocks fit into the image
  /// Adds widths of isolated sources of the truth whose peak is at or above this.
  std::optional<double> min_peak{};
};

/// Rows of a candidate and the truth, the full width of the image.
struct ScoredRows {
  at::Tensor prediction;  ///< [h, W], any real type
  at::Tensor truth;       ///< [h, W]
  at::Tensor valid;       ///< [h, W] boolean
  at::Tensor lit;         ///< [h, W] boolean, truth above the threshold
  std::int64_t fresh;     ///< the last `fresh` rows are new; those above them were seen before
  bool last = false;      ///< whether the image ends with them
};

/// Scores of one candidate that grow from block to block.
class RasterScores {
 public:
  /// @throws InvalidArgument  data range absent or not above 0, threshold not finite
  explicit RasterScores(const RasterScoreOptions& options);

  /// Rows that a block should repeat from the one before, so that no window is lost.
  std::int64_t overlap() const { return overlap_; }

  /// Adds a block. `rows.fresh` rows are counted; above them stand up to `overlap()` rows that were
  /// the last of what was seen before: all of them, or the whole image so far. `rows.last` ends it.
  void update(const ScoredRows& rows);

  /// Scores by key, NaN where one has no pixel to stand on; float64.
  std::vector<std::pair<std::string, double>> compute() const;

 private:
  struct Score {
    std::string key;
    std::function<void(const ScoredRows&)> update;
    std::function<double()> compute;
  };

  template <class Metric>
  void add_pointwise(const std::string& key, Metric metric, bool lit);
  template <class Accumulator>
  void add_windowed(const std::string& key, Accumulator accumulator, bool lit);
  void add_multi_scale(const RasterScoreOptions& options, bool lit);
  void add_spectral(bool lit);
  void add_entropy(const RasterScoreOptions& options, bool lit);
  void add_no_reference(const RasterScoreOptions& options);
  void add_brightness(const RasterScoreOptions& options);
  void add_sources(double min_peak);

  std::vector<Score> scores_;
  std::int64_t overlap_ = 0;
};

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/raster_scores_inl.hpp"
#endif
