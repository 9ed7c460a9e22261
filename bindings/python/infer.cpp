// Tiled prediction as Python sees it; deeplight.predictor gives it its face.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "deeplight/infer/predict.hpp"
#include "deeplight/infer/score_rasters.hpp"
#include "deeplight/infer/tile_store.hpp"
#include "deeplight/infer/zone_labels.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
using namespace py::literals;
using Path = std::filesystem::path;

/// Lets Ctrl-C in between tiles, then reports; an exception of either passes through native code.
std::function<bool(std::int64_t, std::int64_t)> with_signals(const py::object& progress) {
  return
      [progress = std::make_shared<py::object>(progress)](std::int64_t done, std::int64_t total) {
        const py::gil_scoped_acquire lock;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (progress->is_none()) return true;
        const py::object answer = (*progress)(done, total);
        return answer.is_none() || answer.cast<bool>();
      };
}

py::dict to_dict(const RasterReport& report) {
  return py::dict("low_resolution"_a = report.low_resolution.string(),
                  "output"_a = report.output.string(), "mean_in"_a = report.mean_in,
                  "mean_out"_a = report.mean_out, "light_ratio"_a = report.light_ratio,
                  "valid_pixels"_a = report.valid_pixels,
                  "invalid_pixels"_a = report.invalid_pixels, "tiles"_a = report.tiles,
                  "resumed"_a = report.resumed, "seconds"_a = report.seconds);
}

py::dict to_dict(const PredictReport& report) {
  py::list rasters;
  for (const RasterReport& raster : report.rasters) rasters.append(to_dict(raster));
  return py::dict("rasters"_a = rasters, "warnings"_a = report.warnings,
                  "seconds"_a = report.seconds);
}

using Guides = std::vector<std::pair<std::string, Path>>;

/// What predict, plan, run and merge share; options by the names of PredictRequest.
PredictRequest request_of(const std::vector<Path>& low_resolution, const std::vector<Path>& outputs,
                          const Guides& guides, const py::kwargs& options) {
  PredictRequest request;
  request.low_resolution = low_resolution;
  request.outputs = outputs;
  request.guides = guides;
  for (const auto& [key, value] : options) {
    const auto name = key.cast<std::string>();
    if (name == "tile")
      request.tile = value.cast<std::int64_t>();
    else if (name == "qa") {
      for (const auto& text : value.cast<std::vector<std::string>>()) {
        request.quality.push_back(QualityMask::parse(text));
      }
    } else if (name == "align")
      request.align = value.cast<bool>();
    else if (name == "consistency")
      request.consistency = enum_from_string<Consistency>(value.cast<std::string>());
    else if (name == "non_negative")
      request.non_negative = value.cast<bool>();
    else if (name == "nodata")
      request.nodata = value.cast<std::optional<double>>();
    else if (name == "self_ensemble")
      request.self_ensemble = value.cast<bool>();
    else if (name == "uncertainty")
      request.uncertainty = value.cast<bool>();
    else if (name == "overwrite")
      request.overwrite = value.cast<bool>();
    else if (name == "resume")
      request.resume = value.cast<bool>();
    else if (name == "compression")
      request.compression = enum_from_string<Compression>(value.cast<std::string>());
    else if (name == "format")
      request.format = value.cast<std::string>();
    else if (name == "precision")
      request.precision = enum_from_string<Precision>(value.cast<std::string>());
    else if (name == "batch")
      request.batch = value.cast<std::int64_t>();
    else if (name == "prefetch")
      request.prefetch = value.cast<std::int64_t>();
    else if (name == "threads")
      request.threads = value.cast<std::int64_t>();
    else if (name == "devices")
      request.devices = value.cast<std::vector<std::string>>();
    else if (name == "scratch")
      request.scratch = value.cast<std::optional<Path>>();
    else if (name == "progress") {
      request.progress = with_signals(py::reinterpret_borrow<py::object>(value));
    } else {
      throw py::type_error("predict: unknown option '" + name + "'");
    }
  }
  if (!request.progress) request.progress = with_signals(py::none());
  return request;
}

py::dict run(const std::shared_ptr<Network>& network, const std::string& card,
             const std::vector<Path>& low_resolution, const std::vector<Path>& outputs,
             const Guides& guides, const py::kwargs& options) {
  const PredictRequest request = request_of(low_resolution, outputs, guides, options);
  PredictReport report;
  {
    const py::gil_scoped_release release;
    report = predict(*network, card_from_text(card, "the card"), request);
  }
  return to_dict(report);
}

std::vector<PredictionPlan> plans_of(const std::vector<std::string>& texts) {
  std::vector<PredictionPlan> plans;
  for (const std::string& text : texts) {
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    require<FormatError>(json.is_object() && json.contains("job") && json.contains("tiles"),
                         "a plan must be a JSON object with job, tiles and groups");
    plans.push_back({json.at("job"), json.at("tiles").get<std::int64_t>(),
                     json.at("groups").get<std::int64_t>()});
  }
  return plans;
}

std::vector<std::string> plan(const std::shared_ptr<Network>& network, const std::string& card,
                              const std::vector<Path>& low_resolution,
                              const std::vector<Path>& outputs, const Guides& guides,
                              const py::kwargs& options) {
  const PredictRequest request = request_of(low_resolution, outputs, guides, options);
  std::vector<std::string> texts;
  const py::gil_scoped_release release;
  for (const PredictionPlan& one :
       plan_prediction(*network, card_from_text(card, "the card"), request)) {
    texts.push_back(Json{
        {"digest", job_digest(one.job)},
        {"tiles", one.tiles},
        {"groups", one.groups},
        {"job",
         one.job}}.dump());
  }
  return texts;
}

py::dict run_shard(const std::shared_ptr<Network>& network, const std::string& card,
                   const std::vector<Path>& low_resolution, const std::vector<Path>& outputs,
                   const Guides& guides, const std::vector<std::string>& plans, std::int64_t index,
                   std::int64_t count, const py::kwargs& options) {
  const PredictRequest request = request_of(low_resolution, outputs, guides, options);
  PredictReport report;
  {
    const py::gil_scoped_release release;
    report = predict_shard(*network, card_from_text(card, "the card"), request, plans_of(plans),
                           {index, count});
  }
  return to_dict(report);
}

py::dict merge(const std::string& card, const std::vector<Path>& low_resolution,
               const std::vector<Path>& outputs, const std::vector<std::string>& plans,
               const py::kwargs& options) {
  const PredictRequest request = request_of(low_resolution, outputs, {}, options);
  PredictReport report;
  {
    const py::gil_scoped_release release;
    report = merge_shards(card_from_text(card, "the card"), request, plans_of(plans));
  }
  return to_dict(report);
}

using WindowTuple = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

py::dict score(const Path& truth, const std::vector<std::pair<std::string, Path>>& predictions,
               std::optional<double> data_range, const std::optional<Path>& low_resolution,
               std::int64_t scale, double lit_threshold, const std::optional<WindowTuple>& window,
               bool everything, const std::optional<Path>& error_map, std::int64_t block_pixels,
               const std::optional<Path>& zones, std::optional<double> saturation,
               const std::vector<double>& brightness_edges,
               const std::optional<metrics::NiqeModel>& niqe_model, std::optional<double> min_peak,
               const py::object& progress) {
  ScoreRequest request;
  request.truth = truth;
  request.predictions = predictions;
  request.low_resolution = low_resolution;
  request.scores = {data_range, lit_threshold,    scale,      everything,
                    saturation, brightness_edges, niqe_model, min_peak};
  request.zones = zones;
  if (window) {
    const auto [row, column, rows, columns] = *window;
    request.window = Window{row, column, rows, columns};
  }
  request.error_map = error_map;
  request.block_pixels = block_pixels;
  request.progress = with_signals(progress);
  ScoreReport report;
  {
    const py::gil_scoped_release release;
    report = score_rasters(request);
  }
  py::list rasters;
  for (const ScoredRaster& raster : report.rasters) {
    py::dict scores;
    for (const auto& [key, value] : raster.scores) scores[key.c_str()] = value;
    rasters.append(
        py::dict("name"_a = raster.name, "scores"_a = scores, "missing"_a = raster.missing));
  }
  return py::dict("rows"_a = report.rows, "columns"_a = report.columns, "valid"_a = report.valid,
                  "lit"_a = report.lit, "truth_maximum"_a = report.truth_maximum,
                  "rasters"_a = rasters, "seconds"_a = report.seconds);
}

}  // namespace

void bind_infer(py::module_& module) {
  module.def(
      "predict", &run, "network"_a, "card"_a, "low_resolution"_a, "outputs"_a, "guides"_a,
      "Super-resolves rasters; `card` is JSON text, `guides` are (name, path) pairs, options\n"
      "those of deeplight.Predictor.predict; `progress(done, total)` may return False to\n"
      "cancel. Gives the report as plain data.");
  module.def("plan_prediction", &plan, "network"_a, "card"_a, "low_resolution"_a, "outputs"_a,
             "guides"_a, "Describes the job of each output as JSON text; arguments as `predict`.");
  module.def("predict_shard", &run_shard, "network"_a, "card"_a, "low_resolution"_a, "outputs"_a,
             "guides"_a, "plans"_a, "index"_a, "count"_a,
             "Computes one shard of planned work; arguments as `predict`.");
  module.def("merge_shards", &merge, "card"_a, "low_resolution"_a, "outputs"_a, "plans"_a,
             "Assembles the outputs from shards; options as `predict`.");
  module.def("scratch_folder", &scratch_folder, "output"_a,
             "Where the finished tiles of an output wait.");
  module.def(
      "read_zones",
      [](const Path& path, const Path& truth, const std::optional<WindowTuple>& window) {
        const RasterInfo info = raster_info(truth);
        Window part{0, 0, info.grid.rows, info.grid.columns};
        if (window) {
          const auto [row, column, rows, columns] = *window;
          part = {row, column, rows, columns};
        }
        return open_zones(path, info).read(part);
      },
      "path"_a, "truth"_a, "window"_a = py::none(), py::call_guard<py::gil_scoped_release>(),
      "Labels of zones, int64 [rows, columns], on the grid of the raster `truth`.");
  module.def("check_comparable", &check_comparable, "coarse"_a, "fine"_a, "name"_a, "scale"_a,
             "Raises ValueError unless two rasters share extent and unit of temperature.");
  module.def("score_rasters", &score, "truth"_a, "predictions"_a, py::kw_only(),
             "data_range"_a = py::none(), "low_resolution"_a = py::none(), "scale"_a = 0,
             "lit_threshold"_a = 0.0, "window"_a = py::none(), "everything"_a = false,
             "error_map"_a = py::none(), "block_pixels"_a = ScoreRequest{}.block_pixels,
             "zones"_a = py::none(), "saturation"_a = py::none(),
             "brightness_edges"_a = std::vector<double>{}, "niqe_model"_a = py::none(),
             "min_peak"_a = py::none(), "progress"_a = py::none(),
             "Scores rasters by blocks of rows; `predictions` are (name, path) pairs and\n"
             "`progress(done, total)` may return False to cancel. Gives the report as plain data.");
}

}  // namespace deeplight::python
