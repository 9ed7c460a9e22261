// Objectives for Python, in deeplight._native.losses; python/deeplight/losses.py documents them.
#include "bindings.hpp"

#include <pybind11/stl.h>

#include "deeplight/losses/auxiliary_bce.hpp"
#include "deeplight/losses/deeplight_loss.hpp"
#include "deeplight/losses/multi_scale.hpp"
#include "deeplight/losses/pixel_loss.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
using Optional = std::optional<at::Tensor>;

/// Options arrive as the JSON text of a Python dictionary, so that one description checks them.
template <class Options>
Options parse_options(const std::string& json) {
  return options_from_json<Options>(Json::parse(json));
}

}  // namespace

void bind_losses(py::module_& module) {
  py::module_ objectives = module.def_submodule("losses", "Objectives on tensors, differentiable.");
  objectives.def(
      "pixel_loss",
      [](const at::Tensor& prediction, const at::Tensor& target, const std::string& options,
         const Optional& weight) {
        return losses::pixel_loss(prediction, target,
                                  parse_options<losses::PixelLossOptions>(options), weight);
      },
      py::arg("prediction"), py::arg("target"), py::arg("options") = "{}",
      py::arg("weight") = py::none(), py::call_guard<py::gil_scoped_release>());
  objectives.def(
      "multi_scale",
      [](const std::vector<at::Tensor>& pyramid, const at::Tensor& target,
         const std::vector<double>& beta, const std::string& options, const Optional& mask) {
        return losses::multi_scale(pyramid, target, beta,
                                   parse_options<losses::PixelLossOptions>(options), mask)
            .total;
      },
      py::arg("pyramid"), py::arg("target"), py::arg("beta"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::call_guard<py::gil_scoped_release>());
  objectives.def("auxiliary_bce", &losses::auxiliary_bce, py::arg("logits"), py::arg("target"),
                 py::arg("mask") = py::none(), py::arg("positive_weight") = 1.0,
                 py::call_guard<py::gil_scoped_release>());

  py::class_<losses::DeepLightLoss>(objectives, "DeepLightLoss")
      .def(py::init([](const std::string& options) {
             return losses::DeepLightLoss(parse_options<losses::DeepLightLossOptions>(options));
           }),
           py::arg("options") = "{}")
      .def_property_readonly(
          "options",
          [](const losses::DeepLightLoss& loss) { return options_to_json(loss.options()).dump(); })
      .def(
          "terms",
          [](const losses::DeepLightLoss& loss, const std::vector<at::Tensor>& pyramid,
             const Optional& auxiliary_logits, const at::Tensor& target, const Optional& auxiliary,
             const Optional& mask) {
            losses::DeepLightLossTerms terms;
            {
              py::gil_scoped_release release;
              Output output;
              output.pyramid = pyramid;
              if (!pyramid.empty()) output.image = pyramid.back();
              output.auxiliary_logits = auxiliary_logits;
              terms = loss.terms(output, target, auxiliary, mask);
            }
            py::dict named;
            named["total"] = terms.total;
            named["image"] = terms.image;
            named["levels"] = terms.levels;
            named["auxiliary"] = terms.auxiliary.defined() ? py::cast(terms.auxiliary) : py::none();
            return named;
          },
          py::arg("pyramid"), py::arg("auxiliary_logits"), py::arg("target"),
          py::arg("auxiliary") = py::none(), py::arg("mask") = py::none());
}

}  // namespace deeplight::python
