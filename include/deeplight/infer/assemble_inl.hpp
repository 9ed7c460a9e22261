// From tiles on disk to a raster: encoded once, in the order of the file's own blocks, so that the
// bytes depend on the values alone.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "deeplight/infer/predict.hpp"
#include "deeplight/infer/predict_job_inl.hpp"
#include "deeplight/infer/tile_store.hpp"
#include "deeplight/raster/sinks.hpp"
#include "deeplight/raster/tile_plan.hpp"

namespace deeplight::detail {

/// Every tile of a plan, wherever it lies.
class TileIndex {
 public:
  void add(const TileStore& store) {
    for (const TileRecord& record : store.records())
      tiles_.try_emplace(record.index, &store, record);
  }
  std::int64_t size() const { return static_cast<std::int64_t>(tiles_.size()); }
  bool has(std::int64_t index) const { return tiles_.count(index) == 1; }
  const std::pair<const TileStore*, TileRecord>& at(std::int64_t index) const {
    return tiles_.at(index);
  }

 private:
  std::map<std::int64_t, std::pair<const TileStore*, TileRecord>> tiles_;
};

/// Sums of all tiles, in their order, whoever computed them.
inline TileRecord total_of(const TileIndex& tiles, std::int64_t count) {
  TileRecord total;
  for (std::int64_t index = 0; index < count; ++index) {
    const TileRecord& record = tiles.at(index).second;
    total.light += record.light;
    total.pixels += record.pixels;
    total.not_finite += record.not_finite;
  }
  return total;
}

inline RasterReport report_of(const PredictJob& job, const TileGeometry& geometry,
                              const LightSummary& light, const TileRecord& total) {
  RasterReport report;
  report.low_resolution = job.low_resolution.info().path;
  report.output = job.output;
  report.valid_pixels = light.valid;
  report.invalid_pixels = geometry.rows * geometry.columns - light.valid;
  const auto area = static_cast<double>(geometry.scale * geometry.scale);
  report.mean_in = light.sum / static_cast<double>(light.valid);
  report.mean_out = total.light / std::max(1.0, static_cast<double>(total.pixels));
  report.light_ratio = total.light == 0 && light.sum == 0 ? 1.0 : total.light / area / light.sum;
  return report;
}

inline RasterWriterOptions output_options(const Card& card, const PredictRequest& request,
                                          const PredictJob& job, const Json& description,
                                          const RasterReport& report) {
  const BandInfo& band = job.low_resolution.info().bands.front();
  const ImageDescription& trained = card.preprocessing.low_resolution;
  const ImageDescription& output = card.preprocessing.output;
  RasterWriterOptions options;
  options.compression = request.compression;
  options.nodata = job.nodata;
  options.overwrite = request.overwrite;
  options.threads = at::get_num_threads();
  if (!band.name.empty()) options.band_names = {band.name};
  if (request.uncertainty) {
    if (options.band_names.empty()) options.band_names = {"prediction"};
    options.band_names.push_back("standard deviation of the self-ensemble");
  }
  const bool converts = !output.units.empty() && output.units != trained.units;
  options.units = converts || band.units.empty() ? output.units : band.units;
  const auto number = [](double value) { return Json(value).dump(); };
  const Json& weights = description.at("weights");
  const Json& low = description.at("low_resolution");
  options.metadata = {{"DEEPLIGHT_VERSION", version},
                      {"DEEPLIGHT_MODEL", weights.at("name").get<std::string>()},
                      {"DEEPLIGHT_WEIGHTS_SHA256", weights.at("sha256").get<std::string>()},
                      {"DEEPLIGHT_SCALE", description.at("geometry").at("scale").dump()},
                      {"DEEPLIGHT_CONSISTENCY", enum_to_string(request.consistency)},
                      {"DEEPLIGHT_OPTIONS", description.at("options").dump()},
                      {"DEEPLIGHT_INPUT", low.at("file").get<std::string>()},
                      {"DEEPLIGHT_INPUT_CHECKSUM", low.at("checksum").get<std::string>()},
                      {"DEEPLIGHT_JOB", job_digest(description)},
                      {"DEEPLIGHT_MEAN_IN", number(report.mean_in)},
                      {"DEEPLIGHT_MEAN_OUT", number(report.mean_out)},
                      {"DEEPLIGHT_LIGHT_RATIO", number(report.light_ratio)}};
  if (low.contains("quality")) {
    const Json& quality = low.at("quality");
    options.metadata["DEEPLIGHT_QUALITY"] =
        concat(quality.at("file").get<std::string>(), ", band ", quality.at("band").dump(),
               ", bits ", quality.at("bits").get<std::string>());
  }
  for (const auto& [name, guide] : description.at("guides").items()) {
    options.metadata["DEEPLIGHT_GUIDE_" + name] = guide.at("file").get<std::string>();
    options.metadata["DEEPLIGHT_GUIDE_" + name + "_CHECKSUM"] =
        guide.at("checksum").get<std::string>();
  }
  return options;
}

/// Reads one window of the output from the tiles that it touches; NaN where there is no value.
inline void gather(const TileIndex& tiles, const TileGeometry& geometry, const TilePlan& plan,
                   const Window& window, ValueArray& values) {
  std::fill(values.begin(), values.end(), std::numeric_limits<float>::quiet_NaN());
  const std::int64_t side = plan.tile() * geometry.scale;
  const std::int64_t tile_columns = (geometry.columns + plan.tile() - 1) / plan.tile();
  for (std::int64_t down = window.row / side; down * side < window.row + window.rows; ++down) {
    for (std::int64_t right = window.column / side; right * side < window.column + window.columns;
         ++right) {
      const std::int64_t index = down * tile_columns + right;
      const auto& [store, record] = tiles.at(index);
      if (record.bytes == 0) continue;
      const Window owner = plan[index].owner.refined(geometry.scale);
      const Window both = owner.intersection(window);
      for (std::int64_t band = 0; band < geometry.bands; ++band) {
        for (std::int64_t row = both.row; row < both.row + both.rows; ++row) {
          const std::int64_t from =
              (band * owner.rows + row - owner.row) * owner.columns + both.column - owner.column;
          float* to = values.data() + (band * window.rows + row - window.row) * window.columns +
                      both.column - window.column;
          store->read(record, from, {to, static_cast<std::size_t>(both.columns)});
        }
      }
    }
  }
}

/// Writes the raster; nothing stands under its name until it is whole.
/// @param tick  called often; an exception of it ends the work
inline void assemble(const TileIndex& tiles, const TileGeometry& geometry, RasterSink& sink,
                     const std::function<void()>& tick) {
  const TilePlan plan = geometry.plan();
  const std::int64_t rows = geometry.rows * geometry.scale;
  const std::int64_t columns = geometry.columns * geometry.scale;
  const std::int64_t step = sink.block();
  constexpr std::int64_t wide = 4096;
  const std::int64_t stride = std::max<std::int64_t>(wide / step, 1) * step;
  for (std::int64_t row = 0; row < rows; row += step) {
    tick();
    for (std::int64_t column = 0; column < columns; column += stride) {
      const Window window{row, column, std::min(step, rows - row),
                          std::min(stride, columns - column)};
      ValueArray values = make_array<ValueArray>(geometry.bands, window.rows, window.columns);
      gather(tiles, geometry, plan, window, values);
      ValidArray valid = make_array<ValidArray>(geometry.bands, window.rows, window.columns);
      for (std::size_t index = 0; index < values.size(); ++index) {
        valid.data()[index] = std::isfinite(values.data()[index]) ? 1 : 0;
        if (valid.data()[index] == 0) values.data()[index] = 0.0F;
      }
      sink.write(window, values, valid);
    }
  }
  sink.close();
}

}  // namespace deeplight::detail
