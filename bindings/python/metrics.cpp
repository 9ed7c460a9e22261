// Scores for Python, in deeplight._native.metrics; python/deeplight/metrics/ documents them.
#include "bindings.hpp"

#include <pybind11/stl.h>

#include <array>

#include "deeplight/metrics/brightness.hpp"
#include "deeplight/metrics/city.hpp"
#include "deeplight/metrics/correlation.hpp"
#include "deeplight/metrics/ergas.hpp"
#include "deeplight/metrics/light.hpp"
#include "deeplight/metrics/psnr.hpp"
#include "deeplight/metrics/regression.hpp"
#include "deeplight/metrics/sam.hpp"
#include "deeplight/metrics/source_width.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
using Mask = std::optional<at::Tensor>;

metrics::Reduction to_reduction(const std::string& name) {
  return enum_from_string<metrics::Reduction>(name);
}

/// A score of (prediction, target, mask, reduction).
template <class Score>
void def_plain(py::module_& module, const char* name, Score score) {
  module.def(
      name,
      [score](const at::Tensor& prediction, const at::Tensor& target, const Mask& mask,
              const std::string& reduction) {
        return score(prediction, target, {.mask = mask, .reduction = to_reduction(reduction)});
      },
      py::arg("prediction"), py::arg("target"), py::arg("mask") = py::none(),
      py::arg("reduction") = "mean", py::call_guard<py::gil_scoped_release>());
}

/// A score of (prediction, target, one number, mask, reduction).
template <class Options, class Score>
void def_with(py::module_& module, const char* name, const char* constant,
              std::optional<double> Options::* member, Score score) {
  module.def(
      name,
      [member, score](const at::Tensor& prediction, const at::Tensor& target,
                      std::optional<double> value, const Mask& mask, const std::string& reduction) {
        Options options;
        options.*member = value;
        options.mask = mask;
        options.reduction = to_reduction(reduction);
        return score(prediction, target, options);
      },
      py::arg("prediction"), py::arg("target"), py::arg(constant) = py::none(),
      py::arg("mask") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());
}

void def_sam(py::module_& module) {
  module.def(
      "sam",
      [](const at::Tensor& prediction, const at::Tensor& target, const std::string& vectors,
         const std::string& unit, bool allow_one_band, const Mask& mask,
         const std::string& reduction) {
        return metrics::sam(prediction, target,
                            {.vectors = enum_from_string<metrics::SamVectors>(vectors),
                             .unit = enum_from_string<metrics::AngleUnit>(unit),
                             .allow_one_band = allow_one_band,
                             .mask = mask,
                             .reduction = to_reduction(reduction)});
      },
      py::arg("prediction"), py::arg("target"), py::arg("vectors") = "bands",
      py::arg("unit") = "radians", py::arg("allow_one_band") = false, py::arg("mask") = py::none(),
      py::arg("reduction") = "mean", py::call_guard<py::gil_scoped_release>());
}

void def_brightness(py::module_& module) {
  module.def(
      "saturated_core_error",
      [](const at::Tensor& prediction, const at::Tensor& target, std::optional<double> saturation,
         const std::string& statistic, const Mask& mask, const std::string& reduction) {
        return metrics::saturated_core_error(
            prediction, target,
            {.saturation = saturation,
             .statistic = enum_from_string<metrics::ErrorStatistic>(statistic),
             .mask = mask,
             .reduction = to_reduction(reduction)});
      },
      py::arg("prediction"), py::arg("target"), py::arg("saturation") = py::none(),
      py::arg("statistic") = "rmse", py::arg("mask") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());
  module.def(
      "errors_by_brightness",
      [](const at::Tensor& prediction, const at::Tensor& target, const std::vector<double>& edges,
         const Mask& mask, const std::string& reduction) {
        const metrics::BrightnessErrors errors = metrics::errors_by_brightness(
            prediction, target,
            {.edges = edges, .mask = mask, .reduction = to_reduction(reduction)});
        return std::array{errors.count, errors.bias, errors.mae, errors.rmse};
      },
      py::arg("prediction"), py::arg("target"), py::arg("edges"), py::arg("mask") = py::none(),
      py::arg("reduction") = "pooled", py::call_guard<py::gil_scoped_release>(),
      "[count, bias, mae, rmse], one value per bin each.");
}

std::array<at::Tensor, 4> to_array(const metrics::ZoneSums& sums) {
  return {sums.labels, sums.count, sums.prediction, sums.target};
}

std::array<at::Tensor, 4> to_array(const metrics::CityRegression& line) {
  return {line.r2, line.slope, line.intercept, line.zones};
}

void def_zones(py::module_& module) {
  module.def(
      "zone_sums",
      [](const at::Tensor& prediction, const at::Tensor& target, const at::Tensor& zones,
         const Mask& mask) {
        return to_array(metrics::zone_sums(prediction, target, zones, mask));
      },
      py::arg("prediction"), py::arg("target"), py::arg("zones"), py::arg("mask") = py::none(),
      py::call_guard<py::gil_scoped_release>(), "[labels, count, prediction, target], [Z] each.");
  module.def(
      "city_regression",
      [](const at::Tensor& prediction, const at::Tensor& target, const at::Tensor& zones,
         const Mask& mask) {
        return to_array(metrics::city_regression(prediction, target, zones, mask));
      },
      py::arg("prediction"), py::arg("target"), py::arg("zones"), py::arg("mask") = py::none(),
      py::call_guard<py::gil_scoped_release>(), "[r2, slope, intercept, zones].");

  using metrics::ZoneAccumulator;
  py::class_<ZoneAccumulator>(module, "ZoneAccumulator",
                              "Sums of lights by zone over blocks of a raster.")
      .def(py::init<std::int64_t>(), py::arg("zones"))
      .def(py::init<at::Tensor>(), py::arg("labels"))
      .def("update", &ZoneAccumulator::update, py::arg("prediction"), py::arg("target"),
           py::arg("zones"), py::arg("mask") = py::none(), py::call_guard<py::gil_scoped_release>())
      .def("merge", &ZoneAccumulator::merge, py::arg("other"))
      .def("merge_state", &ZoneAccumulator::merge_state, py::arg("state"))
      .def("sums", [](const ZoneAccumulator& self) { return to_array(self.sums()); })
      .def("compute", [](const ZoneAccumulator& self) { return to_array(self.compute()); })
      .def("reset", &ZoneAccumulator::reset)
      .def_property_readonly("labels", &ZoneAccumulator::labels)
      .def_property("state", &ZoneAccumulator::state, &ZoneAccumulator::set_state);
}

std::array<at::Tensor, 5> to_array(const metrics::SourceWidthMeans& means) {
  return {means.sources, means.measured, means.prediction, means.target, means.rmse};
}

void def_source_widths(py::module_& module) {
  const metrics::SourceWidthOptions defaults;
  module.def(
      "source_widths",
      [](const at::Tensor& prediction, const at::Tensor& target, std::optional<double> min_peak,
         std::int64_t radius, double dark, std::int64_t shift, const Mask& mask) {
        const metrics::SourceWidths widths = metrics::source_widths(
            prediction, target,
            {.min_peak = min_peak, .radius = radius, .dark = dark, .shift = shift, .mask = mask});
        return std::array{widths.plane, widths.row, widths.column, widths.prediction,
                          widths.target};
      },
      py::arg("prediction"), py::arg("target"), py::arg("min_peak") = py::none(),
      py::arg("radius") = defaults.radius, py::arg("dark") = defaults.dark,
      py::arg("shift") = defaults.shift, py::arg("mask") = py::none(),
      py::call_guard<py::gil_scoped_release>(), "[plane, row, column, prediction, target], [S].");
  module.def(
      "source_width_means",
      [](const std::array<at::Tensor, 5>& widths) {
        const auto& [plane, row, column, prediction, target] = widths;
        return to_array(metrics::source_width_means({plane, row, column, prediction, target}));
      },
      py::arg("widths"), "[sources, measured, prediction, target, rmse] of source_widths.");

  using metrics::SourceWidthAccumulator;
  py::class_<SourceWidthAccumulator>(module, "SourceWidthAccumulator",
                                     "Widths of the sources of batches or of pieces of a raster.")
      .def(py::init([](std::optional<double> min_peak, std::int64_t radius, double dark,
                       std::int64_t shift) {
             return SourceWidthAccumulator(
                 {.min_peak = min_peak, .radius = radius, .dark = dark, .shift = shift});
           }),
           py::arg("min_peak") = py::none(), py::arg("radius") = defaults.radius,
           py::arg("dark") = defaults.dark, py::arg("shift") = defaults.shift)
      .def_property_readonly("halo", &SourceWidthAccumulator::halo)
      .def(
          "update",
          [](SourceWidthAccumulator& self, const at::Tensor& prediction, const at::Tensor& target,
             const Mask& mask, std::int64_t top, std::int64_t left, std::int64_t bottom,
             std::int64_t right) {
            self.update(prediction, target, mask, {top, left, bottom, right});
          },
          py::arg("prediction"), py::arg("target"), py::arg("mask") = py::none(),
          py::arg("top") = 0, py::arg("left") = 0, py::arg("bottom") = 0, py::arg("right") = 0,
          py::call_guard<py::gil_scoped_release>())
      .def("merge", &SourceWidthAccumulator::merge, py::arg("other"))
      .def("merge_state", &SourceWidthAccumulator::merge_state, py::arg("state"))
      .def("compute", [](const SourceWidthAccumulator& self) { return to_array(self.compute()); })
      .def("reset", &SourceWidthAccumulator::reset)
      .def_property("state", &SourceWidthAccumulator::state, &SourceWidthAccumulator::set_state);
}

}  // namespace

void bind_metrics(py::module_& module) {
  py::module_ scores = module.def_submodule("metrics", "Scores on tensors, float64.");
  def_plain(scores, "rmse", &metrics::rmse);
  def_plain(scores, "mae", &metrics::mae);
  def_plain(scores, "bias", &metrics::bias);
  def_plain(scores, "rsd", &metrics::rsd);
  def_plain(scores, "r2", &metrics::r2);
  def_plain(scores, "cc", &metrics::cc);
  def_plain(scores, "total_light_ratio", &metrics::total_light_ratio);
  using metrics::LitOptions;
  def_with(scores, "psnr", "data_range", &metrics::PsnrOptions::data_range, &metrics::psnr);
  def_with(scores, "ergas", "ratio", &metrics::ErgasOptions::ratio, &metrics::ergas);
  def_with(scores, "lit_precision", "threshold", &LitOptions::threshold, &metrics::lit_precision);
  def_with(scores, "lit_recall", "threshold", &LitOptions::threshold, &metrics::lit_recall);
  def_with(scores, "lit_f1", "threshold", &LitOptions::threshold, &metrics::lit_f1);
  def_sam(scores);
  scores.def("lit_mask", &metrics::lit_mask, py::arg("target"), py::arg("threshold") = 0.0,
             py::call_guard<py::gil_scoped_release>());
  def_brightness(scores);
  def_zones(scores);
  def_source_widths(scores);
  bind_metric_accumulators(scores);
}

}  // namespace deeplight::python
