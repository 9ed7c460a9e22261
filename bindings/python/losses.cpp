// Objectives for Python, in deeplight._native.losses; python/deeplight/losses.py documents them.
#include "bindings.hpp"

#include <pybind11/stl.h>

#include "deeplight/losses/auxiliary_bce.hpp"
#include "deeplight/losses/deeplight_loss.hpp"
#include "deeplight/losses/frequency.hpp"
#include "deeplight/losses/gradient.hpp"
#include "deeplight/losses/multi_scale.hpp"
#include "deeplight/losses/pixel_loss.hpp"
#include "deeplight/losses/radiance_consistency.hpp"
#include "deeplight/losses/ssim.hpp"
#include "deeplight/losses/total_variation.hpp"

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
  objectives.def(
      "ssim",
      [](const at::Tensor& prediction, const at::Tensor& target, const std::string& options,
         const Optional& mask) {
        return losses::ssim(prediction, target, parse_options<losses::SsimLossOptions>(options),
                            mask);
      },
      py::arg("prediction"), py::arg("target"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::call_guard<py::gil_scoped_release>());
  objectives.def("gradient", &losses::gradient, py::arg("prediction"), py::arg("target"),
                 py::arg("mask") = py::none(), py::call_guard<py::gil_scoped_release>());
  objectives.def("total_variation", &losses::total_variation, py::arg("image"),
                 py::arg("mask") = py::none(), py::call_guard<py::gil_scoped_release>());
  objectives.def(
      "radiance_consistency",
      [](const at::Tensor& prediction, const at::Tensor& low_resolution, const std::string& options,
         const Optional& mask, const Optional& coarse_mask) {
        return losses::radiance_consistency(prediction, low_resolution,
                                            parse_options<losses::PixelLossOptions>(options), mask,
                                            coarse_mask);
      },
      py::arg("prediction"), py::arg("low_resolution"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::arg("coarse_mask") = py::none(),
      py::call_guard<py::gil_scoped_release>());
  objectives.def(
      "frequency",
      [](const at::Tensor& prediction, const at::Tensor& target, const std::string& spectrum,
         const Optional& mask) {
        return losses::frequency(prediction, target, enum_from_string<losses::Spectrum>(spectrum),
                                 mask);
      },
      py::arg("prediction"), py::arg("target"), py::arg("spectrum") = "amplitude",
      py::arg("mask") = py::none(), py::call_guard<py::gil_scoped_release>());

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
             const Optional& mask, const Optional& low_resolution, const Optional& factors) {
            losses::DeepLightLossTerms terms;
            {
              py::gil_scoped_release release;
              Output output;
              output.pyramid = pyramid;
              if (!pyramid.empty()) output.image = pyramid.back();
              output.auxiliary_logits = auxiliary_logits;
              terms = loss.terms(output, target, auxiliary, mask, low_resolution, factors);
            }
            py::dict named;
            named["total"] = terms.total;
            named["image"] = terms.image;
            named["levels"] = terms.levels;
            named["auxiliary"] = terms.auxiliary.defined() ? py::cast(terms.auxiliary) : py::none();
            py::dict extra;
            for (const auto& [name, term] : terms.extra) extra[name.c_str()] = term;
            named["extra"] = extra;
            return named;
          },
          py::arg("pyramid"), py::arg("auxiliary_logits"), py::arg("target"),
          py::arg("auxiliary") = py::none(), py::arg("mask") = py::none(),
          py::arg("low_resolution") = py::none(), py::arg("factors") = py::none())
      .def("counts", &losses::DeepLightLoss::counts, py::arg("pyramid"), py::arg("target"),
           py::arg("mask"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace deeplight::python
