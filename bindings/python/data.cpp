// Normalisation and patch sampling for Python; tensors cross the boundary without a copy.
#include <pybind11/stl.h>

#include "bindings.hpp"
#include "deeplight/data/degradation.hpp"
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
      [](const at::Tensor& values, std::int64_t window, const Mask& valid) {
        py::gil_scoped_release release;
        return masked_box_mean(values, or_undefined(valid), window);
      },
      py::arg("values"), py::arg("window"), py::arg("valid") = py::none(),
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
          "[B, bands, H, W] physical -> normalised; [B, (1 + windows) bands, H, W] with contrast.")
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

/// (row, column, height, width)
using RegionTuple = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

std::vector<Region> to_regions(const std::vector<RegionTuple>& tuples) {
  std::vector<Region> regions;
  for (const auto& [row, column, height, width] : tuples) {
    regions.push_back({row, column, height, width});
  }
  return regions;
}

std::vector<RegionTuple> to_tuples(const std::vector<Region>& regions) {
  std::vector<RegionTuple> tuples;
  for (const Region& r : regions) tuples.emplace_back(r.row, r.column, r.height, r.width);
  return tuples;
}

PatchSamplerOptions sampler_options(const std::string& json) {
  try {
    return options_from_json<PatchSamplerOptions>(Json::parse(json));
  } catch (const Json::exception& error) {
    throw FormatError(concat("options are not JSON: ", error.what()));
  }
}

void bind_sampler(py::module_& module) {
  py::class_<PatchBatch>(module, "PatchBatch",
                         "Patches of one step; light in physical units, guides normalised.")
      .def_readonly("low_resolution", &PatchBatch::low_resolution)
      .def_readonly("target", &PatchBatch::target)
      .def_readonly("guides", &PatchBatch::guides)
      .def_property_readonly("auxiliary",
                             [](const PatchBatch& batch) -> std::optional<at::Tensor> {
                               if (!batch.auxiliary.defined()) return std::nullopt;
                               return batch.auxiliary;
                             })
      .def_readonly("valid", &PatchBatch::valid)
      .def_property_readonly(
          "windows", [](const PatchBatch& batch) { return to_tuples(batch.windows); },
          "(row, column, height, width) of each patch on the high-resolution grid.");

  py::class_<PatchSampler>(module, "PatchSampler",
                           "Draws training patches; sample(step) depends on seed and step alone.")
      .def(py::init([](const at::Tensor& target, const GuideTensors& guides,
                       const std::vector<RegionTuple>& regions, const Mask& low_resolution,
                       const Mask& auxiliary, const Mask& valid, const std::string& options,
                       const Mask& kernel) {
             PatchSource source{target,
                                or_undefined(low_resolution),
                                guides,
                                or_undefined(auxiliary),
                                or_undefined(valid),
                                to_regions(regions),
                                or_undefined(kernel)};
             const PatchSamplerOptions read = sampler_options(options);
             py::gil_scoped_release release;
             return std::make_unique<PatchSampler>(std::move(source), read);
           }),
           py::arg("target"), py::arg("guides"), py::arg("regions"),
           py::arg("low_resolution") = py::none(), py::arg("auxiliary") = py::none(),
           py::arg("valid") = py::none(), py::arg("options") = "{}", py::arg("kernel") = py::none(),
           "Tensors [C, H, W]; regions (row, column, height, width) of the high-resolution grid; "
           "options as the JSON text of PatchSamplerOptions; kernel [k, l] blurs the target before "
           "its block means.")
      .def("sample", &PatchSampler::sample, py::arg("step"),
           py::call_guard<py::gil_scoped_release>(), "The batch of a step, 0 or above.")
      .def_property_readonly("position_count", &PatchSampler::position_count)
      .def_property_readonly("total_weight", &PatchSampler::total_weight)
      .def_property_readonly("options", [](const PatchSampler& self) {
        return options_to_json(self.options()).dump();
      });

  module.def(
      "check_split",
      [](const std::vector<RegionTuple>& train, const std::vector<RegionTuple>& validation,
         const std::vector<RegionTuple>& test, std::int64_t height, std::int64_t width,
         std::int64_t buffer) {
        check_split({to_regions(train), to_regions(validation), to_regions(test)}, height, width,
                    buffer);
      },
      py::arg("train"), py::arg("validation"), py::arg("test"), py::arg("height"), py::arg("width"),
      py::arg("buffer"),
      "Raises ValueError unless the parts of a split are whole and a buffer apart.");
}

void bind_degradation(py::module_& module) {
  module.def("gaussian_kernel", &gaussian_kernel, py::arg("sigma"),
             "[k, k] float64 Gaussian out to 4 sigma (in pixels), sum 1.");
  module.def("point_spread_kernel", &point_spread_kernel, py::arg("measured"),
             "A measured kernel of odd sides, checked and normalised to sum 1; float64.");
  module.def(
      "point_spread",
      [](const at::Tensor& image, const at::Tensor& kernel, const Mask& valid) {
        py::gil_scoped_release release;
        return point_spread(image, or_undefined(valid), kernel);
      },
      py::arg("image"), py::arg("kernel"), py::arg("valid") = py::none(),
      "Convolution of [1, H, W] over valid pixels, divided by the kernel's weight on them; "
      "float32, NaN where invalid.");
  module.def(
      "simulate_low_resolution",
      [](const at::Tensor& target, std::int64_t scale, const Mask& valid, const Mask& kernel,
         double saturation) {
        py::gil_scoped_release release;
        return simulate_low_resolution(target, or_undefined(valid), or_undefined(kernel), scale,
                                       saturation);
      },
      py::arg("target"), py::arg("scale"), py::arg("valid") = py::none(),
      py::arg("kernel") = py::none(), py::arg("saturation") = 0.0,
      "[1, H, W] physical -> [1, H/r, W/r]: point spread, block mean of valid pixels (NaN without "
      "any), values above a positive saturation cut to it.");
}

}  // namespace

void bind_data(py::module_& module) {
  bind_degradation(module);
  bind_preprocessor(module);
  bind_sampler(module);
}

}  // namespace deeplight::python
