// deeplight._native.nn: the parts of guided downscaling, from channel attention to the bridge.
#include "bindings.hpp"
#include "deeplight/nn/channel_attention.hpp"
#include "deeplight/nn/channel_selection.hpp"
#include "deeplight/nn/concatenated_selection.hpp"
#include "deeplight/nn/depthwise_cascade.hpp"
#include "deeplight/nn/dynamic_mlp.hpp"
#include "deeplight/nn/lsk_block.hpp"
#include "deeplight/nn/mocolsk.hpp"
#include "deeplight/nn/mocolsk_bridge.hpp"
#include "deeplight/nn/projection_unit.hpp"
#include "deeplight/nn/rcab.hpp"
#include "deeplight/nn/residual_group.hpp"
#include "deeplight/nn/sk_block.hpp"
#include "deeplight/nn/spatial_selection.hpp"
#include "deeplight/nn/token_pooling.hpp"
#include "deeplight/nn/weight_generator.hpp"
#include "native_module.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;

/// A part whose forward pools values of the image; `forward` computes them from its input.
template <class Part, class Forward>
void bind_pooling_part(py::module_& module, const char* name, const Forward& forward) {
  using Options = typename Part::Options;
  py::class_<Part, torch::nn::Module, std::shared_ptr<Part>>(module, name, py::module_local())
      .def(py::init([](const std::string& options) {
        return std::make_shared<Part>(options_from_json<Options>(parse_options(options)));
      }))
      .def_static("default_options", [] { return options_to_json(Options{}).dump(); })
      .def("margin", &Part::margin)
      .def("forward", forward, py::call_guard<py::gil_scoped_release>());
}

template <class Part>
void bind_map(py::module_& module, const char* name) {
  bind_pooling_part<Part>(
      module, name, [](Part& self, const at::Tensor& features) { return self.forward(features); });
}

template <class Part>
void bind_pair(py::module_& module, const char* name) {
  bind_pooling_part<Part>(module, name,
                          [](Part& self, const at::Tensor& main, const at::Tensor& guide) {
                            return self.forward(main, guide);
                          });
}

}  // namespace

void bind_selective_kernel_parts(py::module_& nn) {
  using namespace deeplight::nn;
  bind_map<ChannelAttentionImpl>(nn, "ChannelAttention");
  bind_map<RCABImpl>(nn, "RCAB");
  bind_map<ResidualGroupImpl>(nn, "ResidualGroup");
  bind_part<ProjectionUnitImpl>(nn, "ProjectionUnit");
  bind_part<DynamicMLPImpl>(nn, "DynamicMLP");
  bind_pair<WeightGeneratorImpl>(nn, "WeightGenerator");
  bind_part<DepthwiseCascadeImpl>(nn, "DepthwiseCascade");
  bind_part<SpatialSelectionImpl>(nn, "SpatialSelection");
  bind_pooling_part<ChannelSelectionImpl>(
      nn, "ChannelSelection",
      [](ChannelSelectionImpl& self, const std::vector<at::Tensor>& branches,
         const std::optional<at::Tensor>& condition) { return self.forward(branches, condition); });
  bind_map<LSKBlockImpl>(nn, "LSKBlock");
  bind_map<SKBlockImpl>(nn, "SKBlock");
  bind_pair<ConcatenatedSelectionImpl>(nn, "ConcatenatedSelection");
  bind_pair<MoCoLSKImpl>(nn, "MoCoLSK");
  bind_pair<MoCoLSKBridgeImpl>(nn, "MoCoLSKBridge");
  nn.def(
      "pool_tokens",
      [](const at::Tensor& features, const std::string& pooling) {
        return pool_tokens(features, enum_from_string<TokenPooling>(pooling));
      },
      py::arg("features"), py::arg("pooling") = "pyramid",
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace deeplight::python
