// Definitions of infer/score_rasters.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bicubic2d.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/block_mean.hpp"
#include "deeplight/infer/score_rasters.hpp"
#include "deeplight/infer/zone_labels.hpp"
#include "deeplight/metrics/city.hpp"
#include "deeplight/radiometry/temperature.hpp"
#include "deeplight/raster/alignment.hpp"
#include "deeplight/raster/raster_writer.hpp"

namespace deeplight {
namespace detail {

/// Rows of one band, both [h, W]: values (0 where invalid) and boolean validity.
struct BandRows {
  at::Tensor values;
  at::Tensor valid;
};
using RowSource = std::function<BandRows(const Window&)>;

inline BandRows read_band(const RasterReader& reader, const Window& window) {
  Block block = reader.read(window, {0});
  const std::vector<std::int64_t> shape = {window.rows, window.columns};
  return {at::from_blob(block.values.data(), shape, at::kFloat).clone(),
          at::from_blob(block.valid.data(), shape, at::kByte).ne(0)};
}

/// Interpolates the low resolution below the window; the kernel reaches two cells to each side.
inline BandRows bicubic_rows(const RasterReader& low, std::int64_t scale, bool consistent,
                             const Window& fine) {
  constexpr std::int64_t reach = 3;
  const std::int64_t first = fine.row / scale, last = (fine.row + fine.rows - 1) / scale + 1;
  const std::int64_t top = std::max<std::int64_t>(first - reach, 0);
  const std::int64_t bottom = std::min(last + reach, low.grid().rows);
  const BandRows coarse = read_band(low, {top, 0, bottom - top, low.grid().columns});
  const at::Tensor cells = coarse.values.to(at::kDouble);
  const at::Tensor stretched =
      at::upsample_bicubic2d(
          cells.unsqueeze(0).unsqueeze(0), {cells.size(0) * scale, cells.size(1) * scale},
          /*align_corners=*/false, static_cast<double>(scale), static_cast<double>(scale))
          .squeeze(0)
          .squeeze(0);
  at::Tensor image =
      stretched.narrow(0, (first - top) * scale, (last - first) * scale).clamp_min(0.0);
  if (consistent) {
    image = functional::enforce_block_mean(
        image, cells.narrow(0, first - top, last - first).clamp_min(0.0), scale);
  }
  const auto cut = [&](const at::Tensor& rows) {
    return rows.narrow(0, fine.row - first * scale, fine.rows).narrow(1, fine.column, fine.columns);
  };
  const at::Tensor valid = coarse.valid.narrow(0, first - top, last - first)
                               .repeat_interleave(scale, 0)
                               .repeat_interleave(scale, 1);
  return {cut(image), cut(valid)};
}

/// One row of the table: where its pixels come from, what was seen of them.
struct Candidate {
  std::string name;
  RowSource read;
  RasterScores scores;
  std::int64_t missing = 0;
  at::Tensor tail{};  // last rows of the block before
  std::optional<metrics::ZoneAccumulator> cities{};
};

inline std::vector<Candidate> open_candidates(const ScoreRequest& request,
                                              const RasterReader& truth) {
  RasterScoreOptions options = request.scores;
  std::optional<RasterReader> low;
  if (request.low_resolution) {
    low.emplace(*request.low_resolution);
    if (options.scale == 0) {
      options.scale = std::max<std::int64_t>(1, truth.grid().columns / low->grid().columns);
    }
    check_comparable(low->info(), truth.info(), "truth", options.scale);
  }
  std::vector<Candidate> candidates;
  for (const auto& [name, path] : request.predictions) {
    const RasterReader reader(path);
    check_comparable(truth.info(), reader.info(), "prediction", 1);
    candidates.push_back({name,
                          [reader](const Window& window) { return read_band(reader, window); },
                          RasterScores(options)});
  }
  if (low) {
    for (const bool consistent : {false, true}) {
      candidates.push_back(
          {consistent ? "bicubic + block mean" : "bicubic",
           [reader = *low, scale = options.scale, consistent](const Window& window) {
             return bicubic_rows(reader, scale, consistent, window);
           },
           RasterScores(options)});
    }
  }
  require(!candidates.empty(), "scores: no prediction and no low resolution is given");
  return candidates;
}

/// Rows of a block: whole rows of the files' own tiles where memory allows.
inline std::int64_t rows_of_block(const ScoreRequest& request, std::int64_t columns) {
  constexpr std::int64_t tile = 256;
  std::int64_t rows = std::max<std::int64_t>(1, request.block_pixels / columns);
  if (rows >= tile) return rows / tile * tile;
  std::int64_t divisor = 1;
  while (divisor * 2 <= rows) divisor *= 2;
  return divisor;
}

inline RasterWriterOptions error_map_options(const ScoreRequest& request,
                                             const RasterReader& truth) {
  RasterWriterOptions options;
  options.band_names = {concat(request.predictions.front().first, " - truth")};
  options.units = truth.info().bands.front().units;
  options.overwrite = true;
  return options;
}

inline void write_errors(RasterWriter& writer, std::int64_t row, const at::Tensor& prediction,
                         const at::Tensor& truth, const at::Tensor& valid) {
  const at::Tensor error =
      (prediction.to(at::kDouble) - truth).masked_fill(valid.logical_not(), 0.0).to(at::kFloat);
  const at::Tensor known = valid.to(at::kByte).contiguous();
  const std::int64_t rows = error.size(0), columns = error.size(1);
  ValueArray values = make_array<ValueArray>(1, rows, columns);
  ValidArray mask = make_array<ValidArray>(1, rows, columns);
  std::copy_n(error.const_data_ptr<float>(), rows * columns, values.data());
  std::copy_n(known.const_data_ptr<std::uint8_t>(), rows * columns, mask.data());
  writer.write({row, 0, rows, columns}, values, &mask);
}

/// `tail` above `fresh`, where there is one.
inline at::Tensor below(const at::Tensor& tail, const at::Tensor& fresh) {
  return tail.defined() ? at::cat({tail.to(fresh.scalar_type()), fresh}, 0) : fresh;
}

}  // namespace detail

DEEPLIGHT_INLINE void check_comparable(const RasterInfo& coarse, const RasterInfo& fine,
                                       const std::string& name, std::int64_t scale) {
  try {
    check_guide(coarse, fine, name, scale);
  } catch (const GridMismatch& mismatch) {
    // The check was made for guides; only its first words are about them.
    std::string text = mismatch.what();
    const auto replace = [&text](const std::string& old, const std::string& fresh) {
      const std::size_t place = text.find(old);
      if (place != std::string::npos) text.replace(place, old.size(), fresh);
    };
    replace(concat("guide '", name, "'"), concat("the ", name));
    if (scale == 1) replace(" = 1 x low resolution", " =");
    throw GridMismatch(text);
  }
  const std::string &one = coarse.bands.front().units, &other = fine.bands.front().units;
  const auto known = radiometry::temperature_units(one);
  const auto found = radiometry::temperature_units(other);
  require(!known || !found || *known == *found, "'", coarse.path, "' is in '", one, "', the ", name,
          " '", fine.path, "' in '", other, "': scores need one unit of temperature");
}

DEEPLIGHT_INLINE ScoreReport score_rasters(const ScoreRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const at::NoGradGuard no_gradients;
  require(request.block_pixels >= 1, "scores: block_pixels must be at least 1, got ",
          request.block_pixels);
  require(!request.error_map || !request.predictions.empty(),
          "scores: an error map needs a prediction");
  const RasterReader truth(request.truth);
  std::vector<detail::Candidate> candidates = detail::open_candidates(request, truth);
  const Window all{0, 0, truth.grid().rows, truth.grid().columns};
  const Window window = request.window.value_or(all);
  require(window.row >= 0 && window.column >= 0 && window.rows >= 1 && window.columns >= 1 &&
              window.row + window.rows <= all.rows && window.column + window.columns <= all.columns,
          "scores: the window (", window.row, ", ", window.column, ", ", window.rows, ", ",
          window.columns, ") leaves the truth of ", all.rows, "x", all.columns);
  std::optional<RasterWriter> errors;
  if (request.error_map) {
    errors.emplace(*request.error_map, truth.grid().cropped(window), 1,
                   detail::error_map_options(request, truth));
  }

  ScoreReport report;
  report.rows = window.rows;
  report.columns = window.columns;
  report.truth_maximum = -std::numeric_limits<double>::infinity();
  const auto advance = [&](std::int64_t done) {
    require<Cancelled>(!request.progress || request.progress(done, window.rows),
                       "scoring cancelled after ", done, " of ", window.rows, " rows");
  };
  std::optional<ZoneLabels> zones;
  if (request.zones) {
    zones = open_zones(*request.zones, truth.info());
    const at::Tensor labels = at::tensor(zones->labels, at::kLong);
    for (detail::Candidate& candidate : candidates) candidate.cities.emplace(labels);
  }
  const std::int64_t step = detail::rows_of_block(request, window.columns);
  const std::int64_t overlap = candidates.front().scores.overlap();
  at::Tensor truth_tail, valid_tail;
  advance(0);
  for (std::int64_t row = 0; row < window.rows; row += step) {
    const std::int64_t fresh = std::min(step, window.rows - row);
    const Window block{window.row + row, window.column, fresh, window.columns};
    const detail::BandRows target = detail::read_band(truth, block);
    if (target.valid.any().item<bool>()) {
      report.truth_maximum = std::max(
          report.truth_maximum, target.values.masked_select(target.valid).max().item<double>());
    }
    at::Tensor valid = target.valid;
    std::vector<at::Tensor> values;
    for (detail::Candidate& candidate : candidates) {
      detail::BandRows rows = candidate.read(block);
      candidate.missing +=
          target.valid.logical_and(rows.valid.logical_not()).sum().item<std::int64_t>();
      if (errors && values.empty()) {
        detail::write_errors(*errors, row, rows.values, target.values,
                             rows.valid.logical_and(target.valid));
      }
      valid = valid.logical_and(rows.valid);
      values.push_back(std::move(rows.values));
    }
    const at::Tensor lit = target.values.gt(request.scores.lit_threshold);
    report.valid += valid.sum().item<std::int64_t>();
    report.lit += valid.logical_and(lit).sum().item<std::int64_t>();

    const at::Tensor whole_truth = detail::below(truth_tail, target.values);
    const at::Tensor whole_valid = detail::below(valid_tail, valid);
    const at::Tensor whole_lit = whole_truth.gt(request.scores.lit_threshold);
    const at::Tensor places = zones ? zones->read(block) : at::Tensor();
    const std::int64_t kept = std::min(overlap, whole_truth.size(0));
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      detail::Candidate& candidate = candidates[i];
      const at::Tensor whole = detail::below(candidate.tail, values[i]);
      candidate.scores.update(
          {whole, whole_truth, whole_valid, whole_lit, fresh, row + fresh == window.rows});
      if (zones) candidate.cities->update(values[i], target.values, places, valid);
      candidate.tail = detail::last_rows(whole, kept).clone();
    }
    truth_tail = detail::last_rows(whole_truth, kept).clone();
    valid_tail = detail::last_rows(whole_valid, kept).clone();
    advance(row + fresh);
  }
  require(report.valid > 0, "no pixel is valid in the truth '", truth.info().path,
          "' and in every candidate");
  if (errors) errors->close();
  for (detail::Candidate& candidate : candidates) {
    report.rasters.push_back({candidate.name, candidate.scores.compute(), candidate.missing});
    if (!candidate.cities) continue;
    const metrics::CityRegression line = candidate.cities->compute();
    auto& scores = report.rasters.back().scores;
    scores.emplace_back("city_r2", line.r2.item<double>());
    scores.emplace_back("city_slope", line.slope.item<double>());
    scores.emplace_back("cities", line.zones.to(at::kDouble).item<double>());
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace deeplight
