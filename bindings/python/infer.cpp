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

namespace deeplight::python {
namespace {

namespace py = pybind11;
using namespace py::literals;
using Path = std::filesystem::path;

/// Lets Ctrl-C in between tiles, then reports; an exception of either passes through native code.
std::function<bool(std::int64_t, std::int64_t)> with_signals(const py::object& progress) {
  return [&progress](std::int64_t done, std::int64_t total) {
    const py::gil_scoped_acquire lock;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (progress.is_none()) return true;
    const py::object answer = progress(done, total);
    return answer.is_none() || answer.cast<bool>();
  };
}

py::dict to_dict(const RasterReport& report) {
  return py::dict("low_resolution"_a = report.low_resolution.string(),
                  "output"_a = report.output.string(), "mean_in"_a = report.mean_in,
                  "mean_out"_a = report.mean_out, "light_ratio"_a = report.light_ratio,
                  "valid_pixels"_a = report.valid_pixels,
                  "invalid_pixels"_a = report.invalid_pixels, "tiles"_a = report.tiles,
                  "seconds"_a = report.seconds);
}

py::dict run(const std::shared_ptr<Network>& network, const std::string& card,
             const std::vector<Path>& low_resolution, const std::vector<Path>& outputs,
             const std::vector<std::pair<std::string, Path>>& guides, std::int64_t tile, bool align,
             const std::string& consistency, std::optional<double> nodata, bool self_ensemble,
             bool overwrite, const std::string& compression, const py::object& progress) {
  PredictRequest request;
  request.low_resolution = low_resolution;
  request.outputs = outputs;
  request.guides = guides;
  request.tile = tile;
  request.align = align;
  request.consistency = enum_from_string<Consistency>(consistency);
  request.nodata = nodata;
  request.self_ensemble = self_ensemble;
  request.overwrite = overwrite;
  request.compression = enum_from_string<Compression>(compression);
  request.progress = with_signals(progress);
  PredictReport report;
  {
    const py::gil_scoped_release release;
    report = predict(*network, card_from_text(card, "the card"), request);
  }
  py::list rasters;
  for (const RasterReport& raster : report.rasters) rasters.append(to_dict(raster));
  return py::dict("rasters"_a = rasters, "warnings"_a = report.warnings,
                  "seconds"_a = report.seconds);
}

using WindowTuple = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

py::dict score(const Path& truth, const std::vector<std::pair<std::string, Path>>& predictions,
               std::optional<double> data_range, const std::optional<Path>& low_resolution,
               std::int64_t scale, double lit_threshold, const std::optional<WindowTuple>& window,
               bool everything, const std::optional<Path>& error_map, std::int64_t block_pixels,
               const py::object& progress) {
  ScoreRequest request;
  request.truth = truth;
  request.predictions = predictions;
  request.low_resolution = low_resolution;
  request.scores = {data_range, lit_threshold, scale, everything};
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
  module.def("predict", &run, "network"_a, "card"_a, "low_resolution"_a, "outputs"_a, "guides"_a,
             py::kw_only(), "tile"_a = 256, "align"_a = false, "consistency"_a = "none",
             "nodata"_a = py::none(), "self_ensemble"_a = false, "overwrite"_a = false,
             "compression"_a = "deflate", "progress"_a = py::none(),
             "Super-resolves rasters; `card` is JSON text, `guides` are (name, path) pairs and\n"
             "`progress(done, total)` may return False to cancel. Gives the report as plain data.");
  module.def("score_rasters", &score, "truth"_a, "predictions"_a, py::kw_only(),
             "data_range"_a = py::none(), "low_resolution"_a = py::none(), "scale"_a = 0,
             "lit_threshold"_a = 0.0, "window"_a = py::none(), "everything"_a = false,
             "error_map"_a = py::none(), "block_pixels"_a = ScoreRequest{}.block_pixels,
             "progress"_a = py::none(),
             "Scores rasters by blocks of rows; `predictions` are (name, path) pairs and\n"
             "`progress(done, total)` may return False to cancel. Gives the report as plain data.");
}

}  // namespace deeplight::python
