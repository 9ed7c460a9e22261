// Scores over sliding windows and blocks for Python, in deeplight._native.metrics.
//
// Images are [..., C, H, W], [C, H, W] or [H, W]; mask and where are boolean and broadcast to the
// image; reduction is "mean", "none", "pooled" or "map"; options are the JSON of a dictionary,
// whose keys and defaults are the fields of the options aggregate in the header. Results are
// float64.
//
//   ssim(prediction, target, data_range, options="{}", mask=None, where=None, reduction="mean")
//   uiqi(prediction, target, options="{}", mask=None, where=None, reduction="mean")
//   ms_ssim(prediction, target, data_range, options="{}", mask=None, reduction="mean")
//   gradient_error(prediction, target, options="{}", mask=None, where=None, reduction="mean")
//   piqe(image, options="{}", mask=None, where=None, reduction="mean")
//   entropy(image, data_range, options="{}", mask=None, reduction="mean")
//   average_gradient(image, mask=None, where=None, reduction="mean"), laplacian_variance(the same)
//
// Accumulators, for images in blocks that overlap by `overlap` rows and columns:
//   SsimAccumulator(data_range, options="{}"), UiqiAccumulator(options="{}")
//     .overlap  .count  .update(prediction, target, mask=None, where=None)  .merge(other)
//     .compute() -> float, NaN without a window  .state() -> [high, low, count]  .load_state(list)
#include "bindings.hpp"

#include <pybind11/stl.h>

#include "deeplight/metrics/gradient_error.hpp"
#include "deeplight/metrics/ms_ssim.hpp"
#include "deeplight/metrics/piqe.hpp"
#include "deeplight/metrics/sharpness.hpp"
#include "deeplight/metrics/ssim.hpp"
#include "deeplight/metrics/uiqi.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
using Optional = std::optional<at::Tensor>;

template <class Options>
Options parse_options(const std::string& json) {
  return options_from_json<Options>(Json::parse(json));
}

template <class Options>
Options windowed_options(const std::string& json, const Optional& mask, const Optional& where,
                         const std::string& reduction) {
  Options options = parse_options<Options>(json);
  options.mask = mask;
  options.where = where;
  options.reduction = enum_from_string<metrics::Reduction>(reduction);
  return options;
}

metrics::SsimOptions ssim_options(std::optional<double> data_range, const std::string& json,
                                  const Optional& mask, const Optional& where,
                                  const std::string& reduction) {
  auto options = windowed_options<metrics::SsimOptions>(json, mask, where, reduction);
  options.data_range = data_range;
  return options;
}

/// What all accumulators have in common.
template <class Accumulator>
py::class_<Accumulator> accumulator(py::module_& module, const char* name) {
  return py::class_<Accumulator>(module, name)
      .def_property_readonly("overlap", &Accumulator::overlap)
      .def_property_readonly("count", &Accumulator::count)
      .def("update", &Accumulator::update, py::arg("prediction"), py::arg("target"),
           py::arg("mask") = py::none(), py::arg("where") = py::none(),
           py::call_guard<py::gil_scoped_release>())
      .def(
          "merge", [](Accumulator& self, const Accumulator& other) { self.merge(other); },
          py::arg("other"))
      .def("compute", &Accumulator::compute)
      .def("state", &Accumulator::state)
      .def("load_state", &Accumulator::load_state, py::arg("state"));
}

}  // namespace

void bind_metrics_windowed(py::module_& module) {
  py::module_ scores = module.def_submodule("metrics");
  scores.def(
      "ssim",
      [](const at::Tensor& prediction, const at::Tensor& target, std::optional<double> data_range,
         const std::string& options, const Optional& mask, const Optional& where,
         const std::string& reduction) {
        return metrics::ssim(prediction, target,
                             ssim_options(data_range, options, mask, where, reduction));
      },
      py::arg("prediction"), py::arg("target"), py::arg("data_range"), py::arg("options"),
      py::arg("mask") = py::none(), py::arg("where") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());
  scores.def(
      "uiqi",
      [](const at::Tensor& prediction, const at::Tensor& target, const std::string& options,
         const Optional& mask, const Optional& where, const std::string& reduction) {
        return metrics::uiqi(
            prediction, target,
            windowed_options<metrics::UiqiOptions>(options, mask, where, reduction));
      },
      py::arg("prediction"), py::arg("target"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::arg("where") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());

  scores.def(
      "ms_ssim",
      [](const at::Tensor& prediction, const at::Tensor& target, std::optional<double> data_range,
         const std::string& json, const Optional& mask, const std::string& reduction) {
        auto options = parse_options<metrics::MsSsimOptions>(json);
        options.data_range = data_range;
        options.mask = mask;
        options.reduction = enum_from_string<metrics::Reduction>(reduction);
        return metrics::ms_ssim(prediction, target, options);
      },
      py::arg("prediction"), py::arg("target"), py::arg("data_range"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());
  scores.def(
      "gradient_error",
      [](const at::Tensor& prediction, const at::Tensor& target, const std::string& options,
         const Optional& mask, const Optional& where, const std::string& reduction) {
        return metrics::gradient_error(
            prediction, target,
            windowed_options<metrics::GradientErrorOptions>(options, mask, where, reduction));
      },
      py::arg("prediction"), py::arg("target"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::arg("where") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());
  scores.def(
      "piqe",
      [](const at::Tensor& image, const std::string& options, const Optional& mask,
         const Optional& where, const std::string& reduction) {
        return metrics::piqe(
            image, windowed_options<metrics::PiqeOptions>(options, mask, where, reduction));
      },
      py::arg("image"), py::arg("options") = "{}", py::arg("mask") = py::none(),
      py::arg("where") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());
  scores.def(
      "entropy",
      [](const at::Tensor& image, std::optional<double> data_range, const std::string& json,
         const Optional& mask, const std::string& reduction) {
        auto options = parse_options<metrics::EntropyOptions>(json);
        options.data_range = data_range;
        options.mask = mask;
        options.reduction = enum_from_string<metrics::Reduction>(reduction);
        return metrics::entropy(image, options);
      },
      py::arg("image"), py::arg("data_range"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());
  const auto local = [&scores](const char* name, auto score) {
    scores.def(
        name,
        [score](const at::Tensor& image, const Optional& mask, const Optional& where,
                const std::string& reduction) {
          return score(image, {.mask = mask,
                               .where = where,
                               .reduction = enum_from_string<metrics::Reduction>(reduction)});
        },
        py::arg("image"), py::arg("mask") = py::none(), py::arg("where") = py::none(),
        py::arg("reduction") = "mean", py::call_guard<py::gil_scoped_release>());
  };
  local("average_gradient", &metrics::average_gradient);
  local("laplacian_variance", &metrics::laplacian_variance);

  bind_metric_statistics(scores);
  accumulator<metrics::SsimAccumulator>(scores, "SsimAccumulator")
      .def(py::init([](std::optional<double> data_range, const std::string& options) {
             return metrics::SsimAccumulator(ssim_options(data_range, options, {}, {}, "mean"));
           }),
           py::arg("data_range"), py::arg("options") = "{}");
  accumulator<metrics::UiqiAccumulator>(scores, "UiqiAccumulator")
      .def(py::init([](const std::string& options) {
             return metrics::UiqiAccumulator(parse_options<metrics::UiqiOptions>(options));
           }),
           py::arg("options") = "{}");
}

}  // namespace deeplight::python
