// Normalisation and patch sampling for Python; tensors cross the boundary without a copy.
#include <pybind11/stl.h>

#include "bindings.hpp"
#include "deeplight/data/patch_sampler.hpp"
#include "deeplight/data/preprocessor.hpp"
#include "deeplight/data/split.hpp"

namespace deeplight::python {
namespace py = pybind11;

namespace {

using Mask = std::optional<at::Tensor>;

at::Tensor or_undefined(const Mask& mask) {
  return mask.value_or(at::Tensor{});
}

void bind_preprocessor(py::module_& module) {
  module.def(
      "masked_box_mean",
      [](const at::Tensor& values, const Mask& valid, std::int64_t window) {
        py::gil_scoped_release release;
        return masked_box_mean(values, or_undefined(valid), window);
      },
      py::arg("values"), py::arg("valid") = py::none(), py::arg("window"),
      "Mean over a window x window box, invalid pixels and the outside left out; float64.");

  py::class_<Preprocessor>(
      module, "Preprocessor",
      "Physical values <-> normalised units, as the JSON text of a card's 'preprocessing' says.")
      .def(py::init([](const std::string& json, std::int64_t scale) {
             Json given;
             try {
               given = Json::parse(json);
             } catch (const Json::exception& error) {
               throw FormatError(concat("preprocessing is not JSON: ", error.what()));
             }
             return Preprocessor(options_from_json<Preprocessing>(given), scale);
           }),
           py::arg("preprocessing"), py::arg("scale"))
      .def(
          "low_resolution",
          [](const Preprocessor& self, const at::Tensor& values, const Mask& valid) {
            py::gil_scoped_release release;
            return self.low_resolution(values, or_undefined(valid));
          },
          py::arg("values"), py::arg("valid") = py::none(),
          "[B, 1, h, w] physical -> normalised float32; invalid and non-finite pixels 0.")
      .def(
          "target",
          [](const Preprocessor& self, const at::Tensor& values, const Mask& valid) {
            py::gil_scoped_release release;
            return self.target(values, or_undefined(valid));
          },
          py::arg("values"), py::arg("valid") = py::none(),
          "[B, 1, H, W] physical truth -> units of the network's output.")
      .def(
          "guide",
          [](const Preprocessor& self, const std::string& name, const at::Tensor& values,
             const Mask& valid) {
            py::gil_scoped_release release;
            return self.guide(name, values, or_undefined(valid));
          },
          py::arg("name"), py::arg("values"), py::arg("valid") = py::none(),
          "[B, bands, H, W] physical -> normalised; [B, 2 bands, H, W] with local contrast.")
      .def(
          "restore",
          [](const Preprocessor& self, const at::Tensor& image) {
            py::gil_scoped_release release;
            return self.restore(image);
          },
          py::arg("image"), "A network's image [B, 1, H, W] -> physical values. Never clamps.")
      .def_property_readonly("margin", &Preprocessor::margin,
                             "Reach of the preparation in low-resolution pixels.")
      .def_property_readonly("scale", &Preprocessor::scale)
      .def_property_readonly(
          "network_guides",
          [](const Preprocessor& self) {
            py::dict guides;
            for (const Guide& guide : self.network_guides()) {
              guides[py::str(guide.name)] = guide.bands;
            }
            return guides;
          },
          "Bands per guide as the network sees them, in order.")
      .def_property_readonly(
          "json",
          [](const Preprocessor& self) { return options_to_json(self.preprocessing()).dump(); },
          "The description as JSON text.");
}

}  // namespace

void bind_data(py::module_& module) {
  bind_preprocessor(module);
}

}  // namespace deeplight::python
