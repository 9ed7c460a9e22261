// Scores over sliding windows and blocks for Python, in deeplight._native.metrics.
//
// Images are [..., C, H, W], [C, H, W] or [H, W]; mask and where are boolean and broadcast to the
// image; reduction is "mean", "none", "pooled" or "map"; options are the JSON of a dictionary,
// whose keys and defaults are the fields of the options aggregate in the header. Results are
// float64.
//
//   ssim(prediction, target, data_range, options="{}", mask=None, where=None, reduction="mean")
//   uiqi(prediction, target, options="{}", mask=None, where=None, reduction="mean")
//   ms_ssim(prediction, target, data_range, options="{}", mask=None, where=None, reduction="mean")
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

#include <array>

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
      .def("reset", [](Accumulator& self) { self.reset(); })
      .def("state", &Accumulator::state)
      .def("load_state", &Accumulator::load_state, py::arg("state"));
}

/// PIQE's verdicts and sums; scores of one image and MS-SSIM, whole or in blocks.
void def_more_accumulators(py::module_& module) {
  using namespace metrics;
  module.def(
      "piqe_blocks",
      [](const at::Tensor& image, const std::string& options, const Optional& mask,
         const Optional& where) {
        const PiqeBlocks blocks =
            piqe_blocks(image, windowed_options<PiqeOptions>(options, mask, where, "mean"));
        return std::array{blocks.distortion, blocks.counted, blocks.active, blocks.artifact,
                          blocks.noise};
      },
      py::arg("image"), py::arg("options") = "{}", py::arg("mask") = py::none(),
      py::arg("where") = py::none(), py::call_guard<py::gil_scoped_release>(),
      "[distortion, counted, active, artifact, noise] of every block.");
  py::class_<PiqeAccumulator>(module, "PiqeAccumulator", "PIQE of all blocks of all pieces.")
      .def(py::init([](const std::string& options) {
             return PiqeAccumulator(parse_options<PiqeOptions>(options));
           }),
           py::arg("options"))
      .def_property_readonly_static("halo",
                                    [](const py::object&) { return PiqeAccumulator::halo(); })
      .def(
          "update",
          [](PiqeAccumulator& self, const at::Tensor& piece, std::int64_t top, std::int64_t left,
             std::int64_t bottom, std::int64_t right, const Optional& mask, const Optional& where) {
            self.update(piece, {top, left, bottom, right}, mask, where);
          },
          py::arg("piece"), py::arg("top") = 0, py::arg("left") = 0, py::arg("bottom") = 0,
          py::arg("right") = 0, py::arg("mask") = py::none(), py::arg("where") = py::none(),
          py::call_guard<py::gil_scoped_release>())
      .def("merge", &PiqeAccumulator::merge, py::arg("other"))
      .def("compute", &PiqeAccumulator::compute)
      .def("reset", &PiqeAccumulator::reset)
      .def_property_readonly("count", &PiqeAccumulator::count)
      .def("state", &PiqeAccumulator::state)
      .def("load_state", &PiqeAccumulator::load_state, py::arg("state"));
  accumulator<GradientErrorAccumulator>(module, "GradientErrorAccumulator")
      .def(py::init([](const std::string& options) {
             return GradientErrorAccumulator(parse_options<GradientErrorOptions>(options));
           }),
           py::arg("options") = "{}");
  const auto single = [&module]<class Accumulator>(const char* name, Accumulator*) {
    py::class_<Accumulator>(module, name)
        .def(py::init<>())
        .def_property_readonly("overlap", [](const Accumulator&) { return Accumulator::overlap(); })
        .def_property_readonly("count", [](const Accumulator& self) { return self.count(); })
        .def("update", &Accumulator::update, py::arg("image"), py::arg("mask") = py::none(),
             py::arg("where") = py::none(), py::call_guard<py::gil_scoped_release>())
        .def(
            "merge", [](Accumulator& self, const Accumulator& other) { self.merge(other); },
            py::arg("other"))
        .def("compute", &Accumulator::compute)
        .def("reset", [](Accumulator& self) { self.reset(); })
        .def("state", [](const Accumulator& self) { return self.state(); })
        .def(
            "load_state",
            [](Accumulator& self, const std::array<double, 5>& state) { self.load_state(state); },
            py::arg("state"));
  };
  single("AverageGradientAccumulator", static_cast<AverageGradientAccumulator*>(nullptr));
  single("LaplacianVarianceAccumulator", static_cast<LaplacianVarianceAccumulator*>(nullptr));
  py::class_<EntropyAccumulator>(module, "EntropyAccumulator")
      .def(py::init([](std::optional<double> data_range, const std::string& json) {
             auto options = parse_options<EntropyOptions>(json);
             options.data_range = data_range;
             return EntropyAccumulator(options);
           }),
           py::arg("data_range"), py::arg("options") = "{}")
      .def_property_readonly("count", &EntropyAccumulator::count)
      .def("update", &EntropyAccumulator::update, py::arg("image"), py::arg("mask") = py::none(),
           py::call_guard<py::gil_scoped_release>())
      .def("merge", &EntropyAccumulator::merge, py::arg("other"))
      .def("compute", &EntropyAccumulator::compute)
      .def("reset", &EntropyAccumulator::reset)
      .def("state", &EntropyAccumulator::state)
      .def("load_state", &EntropyAccumulator::load_state, py::arg("state"));
  py::class_<MsSsimAccumulator>(module, "MsSsimAccumulator")
      .def(py::init([](std::optional<double> data_range, const std::string& json) {
             auto options = parse_options<MsSsimOptions>(json);
             options.data_range = data_range;
             return MsSsimAccumulator(options);
           }),
           py::arg("data_range"), py::arg("options") = "{}")
      .def_property_readonly("count", &MsSsimAccumulator::count)
      .def("update", &MsSsimAccumulator::update, py::arg("prediction"), py::arg("target"),
           py::arg("mask") = py::none(), py::arg("where") = py::none(),
           py::call_guard<py::gil_scoped_release>())
      .def("merge", &MsSsimAccumulator::merge, py::arg("other"))
      .def("compute", &MsSsimAccumulator::compute)
      .def("reset", &MsSsimAccumulator::reset)
      .def("state", &MsSsimAccumulator::state)
      .def("load_state", &MsSsimAccumulator::load_state, py::arg("state"));
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
         const std::string& json, const Optional& mask, const Optional& where,
         const std::string& reduction) {
        auto options = windowed_options<metrics::MsSsimOptions>(json, mask, where, reduction);
        options.data_range = data_range;
        return metrics::ms_ssim(prediction, target, options);
      },
      py::arg("prediction"), py::arg("target"), py::arg("data_range"), py::arg("options") = "{}",
      py::arg("mask") = py::none(), py::arg("where") = py::none(), py::arg("reduction") = "mean",
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

  def_more_accumulators(scores);
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
