// deeplight._native.functional: the library's operators on tensors.
#include "deeplight/functional/deform_conv.hpp"

#include "bindings.hpp"

namespace deeplight::python {

void bind_functional(pybind11::module_& module) {
  namespace py = pybind11;
  using namespace py::literals;
  auto functional = module.def_submodule("functional", "Operators on tensors.");
  const auto release = py::call_guard<py::gil_scoped_release>();
  const deeplight::functional::Pair ones{1, 1}, zeros{0, 0};
  functional.def("deform_conv2d", &deeplight::functional::deform_conv2d, "input"_a, "offset"_a,
                 "weight"_a, "bias"_a = py::none(), "stride"_a = ones, "padding"_a = zeros,
                 "dilation"_a = ones, "mask"_a = py::none(), release);
  functional.def("deform_conv2d_reference", &deeplight::functional::deform_conv2d_reference,
                 "input"_a, "offset"_a, "weight"_a, "bias"_a = py::none(), "stride"_a = ones,
                 "padding"_a = zeros, "dilation"_a = ones, "mask"_a = py::none(), release);
}

}  // namespace deeplight::python
