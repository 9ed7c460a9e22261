// Tiled prediction as Python sees it; deeplight.predictor gives it its face.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "deeplight/infer/predict.hpp"

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

}  // namespace

void bind_infer(py::module_& module) {
  module.def("predict", &run, "network"_a, "card"_a, "low_resolution"_a, "outputs"_a, "guides"_a,
             py::kw_only(), "tile"_a = 256, "align"_a = false, "consistency"_a = "none",
             "nodata"_a = py::none(), "self_ensemble"_a = false, "overwrite"_a = false,
             "compression"_a = "deflate", "progress"_a = py::none(),
             "Super-resolves rasters; `card` is JSON text, `guides` are (name, path) pairs and\n"
             "`progress(done, total)` may return False to cancel. Gives the report as plain data.");
}

}  // namespace deeplight::python
