// deeplight._native.Network: whole networks, created by name.
#include "deeplight/models/network.hpp"

#include <array>

#include "bindings.hpp"
#include "deeplight/models/load.hpp"
#include "deeplight/models/registry.hpp"
#include "native_module.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
using namespace py::literals;

void bind_statistics(py::module_& module) {
  py::class_<Warp>(module, "Warp", py::module_local())
      .def_readonly("matrix", &Warp::matrix)
      .def_readonly("centre_x", &Warp::centre_x)
      .def_readonly("centre_y", &Warp::centre_y);
  py::class_<ImageStatistics>(module, "ImageStatistics", py::module_local())
      .def_readonly("warp", &ImageStatistics::warp)
      .def_readwrite("pooled", &ImageStatistics::pooled)
      .def("for_tile", &ImageStatistics::for_tile, "row"_a, "column"_a);
}

auto forward(Network& self, const at::Tensor& low_resolution, const GuideTensors& guides,
             const std::optional<ImageStatistics>& statistics) {
  const Output output = self.forward(low_resolution, guides, statistics ? &*statistics : nullptr);
  return std::make_tuple(output.image, output.pyramid, output.auxiliary_logits);
}

std::vector<std::pair<std::string, std::int64_t>> guide_pairs(const Network& self) {
  std::vector<std::pair<std::string, std::int64_t>> guides;
  for (const Guide& guide : self.guides()) guides.emplace_back(guide.name, guide.bands);
  return guides;
}

py::list describe_networks() {
  py::list list;
  for (const RegisteredNetwork& network : registered_networks()) {
    list.append(py::dict("name"_a = network.name, "summary"_a = network.summary,
                         "citation"_a = network.citation, "scales"_a = network.scales,
                         "interpretation"_a = network.interpretation,
                         "default_options"_a = network.default_options.dump()));
  }
  return list;
}

}  // namespace

void bind_network(py::module_& module) {
  bind_statistics(module);
  const auto release = py::call_guard<py::gil_scoped_release>();
  py::class_<Network, torch::nn::Module, std::shared_ptr<Network>>(module, "Network",
                                                                   py::module_local())
      .def("architecture", &Network::architecture)
      .def("options", [](const Network& self) { return self.options().dump(); })
      .def("scale", &Network::scale)
      .def("guides", &guide_pairs)
      .def("margin", &Network::margin)
      .def("tile_multiple", &Network::tile_multiple)
      .def("statistic_names", &Network::statistic_names)
      .def("image_statistics", &Network::image_statistics, "low_resolution"_a, release)
      .def("needs_representative_pass", &Network::needs_representative_pass)
      .def(
          "representative_statistics",
          [](Network& self, const at::Tensor& low_resolution, const GuideTensors& guides,
             const std::optional<ImageStatistics>& statistics) {
            return self.representative_statistics(low_resolution, guides,
                                                  statistics ? &*statistics : nullptr);
          },
          "low_resolution"_a, "guides"_a, "statistics"_a = py::none(), release)
      .def("forward", &forward, "low_resolution"_a, "guides"_a, "statistics"_a = py::none(),
           release)
      .def(
          "forward_part",
          [](Network& self, const at::Tensor& low_resolution, const GuideTensors& guides,
             const std::array<std::int64_t, 4>& part,
             const std::optional<ImageStatistics>& statistics) {
            return self.forward_part(low_resolution, guides, {part[0], part[1], part[2], part[3]},
                                     statistics ? &*statistics : nullptr);
          },
          "low_resolution"_a, "guides"_a, "part"_a, "statistics"_a = py::none(), release)
      .def("can_checkpoint_activations", &Network::can_checkpoint_activations)
      .def_property("checkpoint_activations", &Network::checkpoint_activations,
                    &Network::set_checkpoint_activations)
      .def("load_state", &load_state, "path"_a, release);
  module.def(
      "create_model",
      [](const std::string& name, const std::string& options) {
        return create_model(name, parse_options(options));
      },
      "name"_a, "options"_a = "{}");
  module.def("registered_networks", &describe_networks);
}

}  // namespace deeplight::python
