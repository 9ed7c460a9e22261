// How a native module is shown to the adopting Python class (python/deeplight/cpp_module.py).
#pragma once

#include <torch/csrc/utils/pybind.h>
#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "deeplight/core/options.hpp"

namespace deeplight::python {

using ModulePointer = std::shared_ptr<torch::nn::Module>;

/// Options arrive and leave as JSON text: one description for every language.
inline Json parse_options(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  require(!json.is_discarded(), "options are not JSON: ", text);
  return json;
}

/// Binds one part of nn/: constructed from its options, forward as declared in C++.
template <class Part>
auto bind_part(pybind11::module_& module, const char* name) {
  namespace py = pybind11;
  using Options = typename Part::Options;
  return py::class_<Part, torch::nn::Module, std::shared_ptr<Part>>(module, name,
                                                                    py::module_local())
      .def(py::init([](const std::string& options) {
        return std::make_shared<Part>(options_from_json<Options>(parse_options(options)));
      }))
      .def_static("default_options", [] { return options_to_json(Options{}).dump(); })
      .def("margin", &Part::margin)
      .def("forward", &Part::forward, py::call_guard<py::gil_scoped_release>());
}

}  // namespace deeplight::python
