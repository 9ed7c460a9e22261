// NIQE and spectral errors for Python, in deeplight._native.metrics.
//
// Arguments as in metrics_windowed.cpp.
//   niqe_features(image, options, mask=None, where=None) -> [features, sharpness, counted]
//   NiqeFit(options, sharpness)  .update(images, mask=None)  .blocks  .compute() -> NiqeModel
//   NiqeModel(json, name)  .to_json()  .save(path)  .options() -> JSON  .blocks  .mean  .covariance
//   niqe(image, model, mask=None, where=None, reduction="mean")
//   spectral_error(prediction, target, options="{}", mask=None, where=None, reduction="mean")
//   spectral_bands(the same, reduction="none") -> [frequency, prediction, target]
#include "bindings.hpp"

#include <pybind11/stl.h>

#include <array>

#include "deeplight/metrics/niqe.hpp"
#include "deeplight/metrics/spectral_error.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
using Optional = std::optional<at::Tensor>;

void def_niqe(py::module_& module) {
  using namespace metrics;
  module.def(
      "niqe_features",
      [](const at::Tensor& image, const std::string& options, const Optional& mask,
         const Optional& where) {
        const NiqeFeatures found = niqe_features(
            image, options_from_json<NiqeFeatureOptions>(Json::parse(options)), mask, where);
        return std::array{found.features, found.sharpness, found.counted};
      },
      py::arg("image"), py::arg("options"), py::arg("mask") = py::none(),
      py::arg("where") = py::none(), py::call_guard<py::gil_scoped_release>(),
      "[features, sharpness, counted] of every block.");
  py::class_<NiqeModel>(module, "NiqeModel", "The normal that the features of good images have.")
      .def(py::init(&niqe_model_from_json), py::arg("json"), py::arg("name") = "niqe model")
      .def("to_json", &niqe_model_to_json)
      .def("save", &save_niqe_model, py::arg("path"))
      .def_static("load", &load_niqe_model, py::arg("path"))
      .def("options", [](const NiqeModel& self) { return options_to_json(self.options).dump(); })
      .def_readonly("blocks", &NiqeModel::blocks)
      .def_readonly("mean", &NiqeModel::mean)
      .def_readonly("covariance", &NiqeModel::covariance)
      .def(py::pickle([](const NiqeModel& self) { return niqe_model_to_json(self); },
                      [](const std::string& json) { return niqe_model_from_json(json); }));
  py::class_<NiqeFit>(module, "NiqeFit", "Fits a model of NIQE to good images.")
      .def(py::init([](const std::string& options, double sharpness) {
             return NiqeFit(options_from_json<NiqeFeatureOptions>(Json::parse(options)), sharpness);
           }),
           py::arg("options"), py::arg("sharpness") = 0.75)
      .def("update", &NiqeFit::update, py::arg("images"), py::arg("mask") = py::none(),
           py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("blocks", &NiqeFit::blocks)
      .def("compute", &NiqeFit::compute);
  module.def(
      "niqe",
      [](const at::Tensor& image, const NiqeModel& model, const Optional& mask,
         const Optional& where, const std::string& reduction) {
        return niqe(
            image, model,
            {.mask = mask, .where = where, .reduction = enum_from_string<Reduction>(reduction)});
      },
      py::arg("image"), py::arg("model"), py::arg("mask") = py::none(),
      py::arg("where") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());
  py::class_<NiqeAccumulator>(module, "NiqeAccumulator", "NIQE of all blocks of all pieces.")
      .def(py::init<NiqeModel>(), py::arg("model"))
      .def_property_readonly_static("halo",
                                    [](const py::object&) { return NiqeAccumulator::halo(); })
      .def("update", &NiqeAccumulator::update, py::arg("piece"), py::arg("top") = 0,
           py::arg("left") = 0, py::arg("bottom") = 0, py::arg("right") = 0,
           py::arg("mask") = py::none(), py::arg("where") = py::none(),
           py::call_guard<py::gil_scoped_release>())
      .def("merge", &NiqeAccumulator::merge, py::arg("other"))
      .def("merge_state", &NiqeAccumulator::merge_state, py::arg("state"))
      .def("compute", &NiqeAccumulator::compute)
      .def("reset", &NiqeAccumulator::reset)
      .def_property_readonly("count", &NiqeAccumulator::count)
      .def_property_readonly("state", &NiqeAccumulator::state);
}

metrics::SpectralOptions spectral_options(const std::string& json, const Optional& mask,
                                          const Optional& where, const std::string& reduction) {
  auto options = options_from_json<metrics::SpectralOptions>(Json::parse(json));
  options.mask = mask;
  options.where = where;
  options.reduction = enum_from_string<metrics::Reduction>(reduction);
  return options;
}

void def_spectral(py::module_& module) {
  using namespace metrics;
  module.def(
      "spectral_error",
      [](const at::Tensor& prediction, const at::Tensor& target, const std::string& options,
         const Optional& mask, const Optional& where, const std::string& reduction) {
        return spectral_error(prediction, target,
                              spectral_options(options, mask, where, reduction));
      },
      py::arg("prediction"), py::arg("target"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::arg("where") = py::none(), py::arg("reduction") = "mean",
      py::call_guard<py::gil_scoped_release>());
  module.def(
      "spectral_bands",
      [](const at::Tensor& prediction, const at::Tensor& target, const std::string& options,
         const Optional& mask, const Optional& where, const std::string& reduction) {
        const SpectralBands bands =
            spectral_bands(prediction, target, spectral_options(options, mask, where, reduction));
        return std::array{bands.frequency, bands.prediction, bands.target};
      },
      py::arg("prediction"), py::arg("target"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::arg("where") = py::none(), py::arg("reduction") = "none",
      py::call_guard<py::gil_scoped_release>(), "[frequency, prediction, target].");
  py::class_<SpectralAccumulator>(module, "SpectralAccumulator",
                                  "Spectral error of all windows of all blocks.")
      .def(py::init([](const std::string& options) {
             return SpectralAccumulator(options_from_json<SpectralOptions>(Json::parse(options)));
           }),
           py::arg("options") = "{}")
      .def_property_readonly("stride", &SpectralAccumulator::stride)
      .def_property_readonly("overlap", &SpectralAccumulator::overlap)
      .def("update", &SpectralAccumulator::update, py::arg("prediction"), py::arg("target"),
           py::arg("mask") = py::none(), py::arg("where") = py::none(),
           py::call_guard<py::gil_scoped_release>())
      .def("merge", &SpectralAccumulator::merge, py::arg("other"))
      .def("merge_state", &SpectralAccumulator::merge_state, py::arg("state"))
      .def("compute", &SpectralAccumulator::compute)
      .def("reset", &SpectralAccumulator::reset)
      .def_property_readonly("count", &SpectralAccumulator::count)
      .def_property_readonly("state", &SpectralAccumulator::state);
}

}  // namespace

void bind_metric_statistics(py::module_& module) {
  def_niqe(module);
  def_spectral(module);
}

}  // namespace deeplight::python
