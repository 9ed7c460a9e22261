// Accumulators of point-wise scores, in deeplight._native.metrics; python/deeplight/metrics/
// builds its classes on them.
#include "bindings.hpp"

#include <pybind11/stl.h>

#include "deeplight/metrics/brightness.hpp"
#include "deeplight/metrics/correlation.hpp"
#include "deeplight/metrics/ergas.hpp"
#include "deeplight/metrics/light.hpp"
#include "deeplight/metrics/psnr.hpp"
#include "deeplight/metrics/regression.hpp"
#include "deeplight/metrics/sam.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;

/// The class `name` without its constructor.
template <class Metric>
py::class_<metrics::Accumulator<Metric>> def_accumulator(py::module_& module, const char* name) {
  using Accumulator = metrics::Accumulator<Metric>;
  py::class_<Accumulator> bound(module, name,
                                "A score over everything it was given, as one image.");
  bound
      .def("update", &Accumulator::update, py::arg("prediction"), py::arg("target"),
           py::arg("mask") = py::none(), py::call_guard<py::gil_scoped_release>(),
           "Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].")
      .def("per_image", &Accumulator::per_image, py::arg("prediction"), py::arg("target"),
           py::arg("mask") = py::none(), py::call_guard<py::gil_scoped_release>(),
           "Scores of the images of a batch and what each stands on, [N] each; adds nothing.")
      .def("merge", &Accumulator::merge, py::arg("other"),
           "Adds what another accumulator has seen.")
      .def("merge_state", &Accumulator::merge_state, py::arg("state"),
           "Adds a state that another process hands over.")
      .def("compute", &Accumulator::compute, "The score, float64; NaN when nothing was valid.")
      .def("count", &Accumulator::count, "Pixels seen.")
      .def("reset", &Accumulator::reset, "Forgets everything seen.")
      .def_property("state", &Accumulator::state, &Accumulator::set_state,
                    "All that was seen, a float64 tensor.");
  return bound;
}

template <class Metric>
void def_plain(py::module_& module, const char* name) {
  def_accumulator<Metric>(module, name).def(py::init<>());
}

/// A metric whose one constant may be None, which is an error that says why it is needed.
template <class Metric>
void def_with(py::module_& module, const char* name, const char* constant) {
  def_accumulator<Metric>(module, name)
      .def(py::init([](std::optional<double> value) {
             return metrics::Accumulator<Metric>(Metric{value});
           }),
           py::arg(constant) = py::none());
}

}  // namespace

void bind_metric_accumulators(py::module_& module) {
  using namespace metrics;
  def_plain<Rmse>(module, "RmseAccumulator");
  def_plain<Mae>(module, "MaeAccumulator");
  def_plain<Bias>(module, "BiasAccumulator");
  def_plain<Rsd>(module, "RsdAccumulator");
  def_plain<R2>(module, "R2Accumulator");
  def_plain<Cc>(module, "CcAccumulator");
  def_plain<TotalLightRatio>(module, "TotalLightRatioAccumulator");
  def_with<Psnr>(module, "PsnrAccumulator", "data_range");
  def_with<LitPrecision>(module, "LitPrecisionAccumulator", "threshold");
  def_with<LitRecall>(module, "LitRecallAccumulator", "threshold");
  def_with<LitF1>(module, "LitF1Accumulator", "threshold");
  def_accumulator<Ergas>(module, "ErgasAccumulator")
      .def(py::init([](std::optional<double> ratio, std::int64_t bands) {
             return Accumulator<Ergas>({.ratio = ratio, .bands = bands});
           }),
           py::arg("ratio") = py::none(), py::arg("bands") = 1);
  def_accumulator<SaturatedCoreError>(module, "SaturatedCoreErrorAccumulator")
      .def(py::init([](std::optional<double> saturation, const std::string& statistic) {
             return Accumulator<SaturatedCoreError>(
                 {.saturation = saturation,
                  .statistic = enum_from_string<ErrorStatistic>(statistic)});
           }),
           py::arg("saturation") = py::none(), py::arg("statistic") = "rmse");
  def_accumulator<ErrorsByBrightness>(module, "ErrorsByBrightnessAccumulator")
      .def(py::init([](const std::vector<double>& edges) {
             return Accumulator<ErrorsByBrightness>({.edges = edges});
           }),
           py::arg("edges"));
  def_accumulator<Sam>(module, "SamAccumulator")
      .def(py::init([](const std::string& unit, bool allow_one_band) {
             return Accumulator<Sam>(
                 {.unit = enum_from_string<AngleUnit>(unit), .allow_one_band = allow_one_band});
           }),
           py::arg("unit") = "radians", py::arg("allow_one_band") = false);
  def_accumulator<ImageSam>(module, "ImageSamAccumulator")
      .def(py::init([](const std::string& unit) {
             return Accumulator<ImageSam>({.unit = enum_from_string<AngleUnit>(unit)});
           }),
           py::arg("unit") = "radians");
}

}  // namespace deeplight::python
