// deeplight._native.nn: every public part of nn/, and the base class of native modules.
#include "bindings.hpp"
#include "deeplight/nn/auxiliary_embedded_refinement.hpp"
#include "deeplight/nn/auxiliary_to_main_fusion.hpp"
#include "deeplight/nn/calibration_aware_alignment.hpp"
#include "deeplight/nn/cmfm.hpp"
#include "deeplight/nn/def_can.hpp"
#include "deeplight/nn/guide_alignment.hpp"
#include "deeplight/nn/learnable_downsampling.hpp"
#include "deeplight/nn/residual_block.hpp"
#include "deeplight/nn/spatial_transformer.hpp"
#include "native_module.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;

std::string type_name(const torch::nn::Module& module) {
  std::string name = module.name();
  if (const auto colon = name.rfind(':'); colon != std::string::npos) name.erase(0, colon + 1);
  if (name.ends_with("Impl")) name.erase(name.size() - 4);
  return name;
}

template <class Items>
py::list pairs(const Items& items) {
  py::list list;
  for (const auto& item : items) list.append(py::make_tuple(item.key(), item.value()));
  return list;
}

// Parts that are told the shape of their network besides their own options.
template <class Part>
auto bind_network_part(py::module_& module, const char* name) {
  using Options = typename Part::Options;
  return py::class_<Part, torch::nn::Module, std::shared_ptr<Part>>(module, name,
                                                                    py::module_local())
      .def(py::init([](const std::string& shape, const std::string& options) {
        return std::make_shared<Part>(options_from_json<nn::NetworkShape>(parse_options(shape)),
                                      options_from_json<Options>(parse_options(options)));
      }))
      .def_static("default_shape", [] { return options_to_json(nn::NetworkShape{}).dump(); })
      .def_static("default_options", [] { return options_to_json(Options{}).dump(); })
      .def("margin", &Part::margin);
}

void bind_base(py::module_& module) {
  py::class_<torch::nn::Module, ModulePointer>(module, "NativeModule", py::module_local())
      .def("type_name", &type_name)
      .def("children", [](const torch::nn::Module& self) { return pairs(self.named_children()); })
      .def("parameters",
           [](const torch::nn::Module& self) { return pairs(self.named_parameters(false)); })
      .def("buffers",
           [](const torch::nn::Module& self) { return pairs(self.named_buffers(false)); })
      .def("train", &torch::nn::Module::train, py::arg("on") = true);
}

}  // namespace

void bind_parts(py::module_& module) {
  using deeplight::nn::Aligned;
  auto nn = module.def_submodule("nn", "Parts that networks are composed of.");
  bind_base(nn);
  bind_part<deeplight::nn::LearnableDownsamplingImpl>(nn, "LearnableDownsampling");
  bind_part<deeplight::nn::SpatialTransformerImpl>(nn, "SpatialTransformer");
  bind_part<deeplight::nn::DefCANImpl>(nn, "DefCAN");
  bind_part<deeplight::nn::GuideAlignmentImpl>(nn, "GuideAlignment");
  bind_part<deeplight::nn::ResidualBlockImpl>(nn, "ResidualBlock");
  bind_part<deeplight::nn::CMFMImpl>(nn, "CMFM");

  const auto release = py::call_guard<py::gil_scoped_release>();
  bind_network_part<deeplight::nn::CalibrationAwareAlignment>(nn, "CalibrationAwareAlignment")
      .def(
          "forward",
          [](deeplight::nn::CalibrationAwareAlignment& self, const at::Tensor& low_resolution,
             const std::vector<at::Tensor>& guides) {
            const Aligned aligned = self.forward(low_resolution, guides, std::nullopt);
            return std::make_pair(aligned.main, aligned.guides);
          },
          release);
  bind_network_part<deeplight::nn::AuxiliaryToMainFusion>(nn, "AuxiliaryToMainFusion")
      .def("forward", &deeplight::nn::AuxiliaryToMainFusion::forward, release);
  bind_network_part<deeplight::nn::AuxiliaryEmbeddedRefinement>(nn, "AuxiliaryEmbeddedRefinement")
      .def(
          "forward",
          [](deeplight::nn::AuxiliaryEmbeddedRefinement& self, const at::Tensor& fused,
             const at::Tensor& low_resolution, const std::vector<at::Tensor>& guide_pyramid) {
            const Output output = self.forward(fused, {low_resolution, guide_pyramid});
            return std::make_tuple(output.image, output.pyramid, output.auxiliary_logits);
          },
          release);
  bind_selective_kernel_parts(nn);
}

}  // namespace deeplight::python
