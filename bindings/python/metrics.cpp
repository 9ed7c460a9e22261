// Scores for Python, in deeplight._native.metrics; python/deeplight/metrics/ documents them.
#include "bindings.hpp"

#include <pybind11/stl.h>

#include "deeplight/metrics/correlation.hpp"
#include "deeplight/metrics/ergas.hpp"
#include "deeplight/metrics/light.hpp"
#include "deeplight/metrics/psnr.hpp"
#include "deeplight/metrics/regression.hpp"
#include "deeplight/metrics/sam.hpp"
#include "deeplight/metrics/ssim.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
using Mask = std::optional<at::Tensor>;

metrics::Reduction to_reduction(const std::string& name) {
  return enum_from_string<metrics::Reduction>(name);
}

metrics::SsimOptions ssim_options(std::optional<double> data_range, const Mask& mask,
                                  const Mask& where, const std::string& reduction,
                                  std::int64_t window_size, double sigma, double k1, double k2) {
  return {.data_range = data_range,
          .mask = mask,
          .where = where,
          .reduction = to_reduction(reduction),
          .window_size = window_size,
          .sigma = sigma,
          .k1 = k1,
          .k2 = k2};
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

}  // namespace

void bind_metrics(py::module_& module) {
  const metrics::SsimOptions defaults;
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
  scores.def(
      "ssim",
      [](const at::Tensor& prediction, const at::Tensor& target, std::optional<double> data_range,
         const Mask& mask, const Mask& where, const std::string& reduction,
         std::int64_t window_size, double sigma, double k1, double k2) {
        return metrics::ssim(
            prediction, target,
            ssim_options(data_range, mask, where, reduction, window_size, sigma, k1, k2));
      },
      py::arg("prediction"), py::arg("target"), py::arg("data_range") = py::none(),
      py::arg("mask") = py::none(), py::arg("where") = py::none(), py::arg("reduction") = "mean",
      py::arg("window_size") = defaults.window_size, py::arg("sigma") = defaults.sigma,
      py::arg("k1") = defaults.k1, py::arg("k2") = defaults.k2,
      py::call_guard<py::gil_scoped_release>());
  scores.def(
      "ssim_map",
      [](const at::Tensor& prediction, const at::Tensor& target, std::optional<double> data_range,
         const Mask& mask, std::int64_t window_size, double sigma, double k1, double k2) {
        return metrics::ssim_map(
            prediction, target,
            ssim_options(data_range, mask, {}, "mean", window_size, sigma, k1, k2));
      },
      py::arg("prediction"), py::arg("target"), py::arg("data_range") = py::none(),
      py::arg("mask") = py::none(), py::arg("window_size") = defaults.window_size,
      py::arg("sigma") = defaults.sigma, py::arg("k1") = defaults.k1, py::arg("k2") = defaults.k2,
      py::call_guard<py::gil_scoped_release>());
  bind_metric_accumulators(scores);
}

}  // namespace deeplight::python
