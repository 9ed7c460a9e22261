// functional.depthwise_conv2d, dynamic_conv2d and large_selective_kernel for Python.
#include <pybind11/stl.h>

#include "bindings.hpp"
#include "deeplight/functional/depthwise_conv.hpp"
#include "deeplight/functional/dynamic_conv.hpp"
#include "deeplight/functional/large_selective_kernel.hpp"

namespace deeplight::python {
namespace {

using Tensor = at::Tensor;
using OptionalTensor = std::optional<at::Tensor>;
using Selective = Tensor(const Tensor&, const Tensor&,
                         const functional::LargeSelectiveKernelWeights&,
                         const functional::LargeSelectiveKernelOptions&);

void define_selective(pybind11::module_& module, const char* name, Selective* function) {
  namespace py = pybind11;
  using namespace py::literals;
  module.def(
      name,
      [function](const Tensor& input, const Tensor& multiplier, const Tensor& first,
                 const Tensor& second, const Tensor& first_squeeze, const Tensor& second_squeeze,
                 const Tensor& selection, const Tensor& expand, const OptionalTensor& first_bias,
                 const OptionalTensor& second_bias, const OptionalTensor& first_squeeze_bias,
                 const OptionalTensor& second_squeeze_bias, const OptionalTensor& selection_bias,
                 const OptionalTensor& expand_bias, functional::Pair first_dilation,
                 functional::Pair second_dilation) {
        return function(input, multiplier,
                        {.first = first,
                         .first_bias = first_bias,
                         .second = second,
                         .second_bias = second_bias,
                         .first_squeeze = first_squeeze,
                         .first_squeeze_bias = first_squeeze_bias,
                         .second_squeeze = second_squeeze,
                         .second_squeeze_bias = second_squeeze_bias,
                         .selection = selection,
                         .selection_bias = selection_bias,
                         .expand = expand,
                         .expand_bias = expand_bias},
                        {.first_dilation = first_dilation, .second_dilation = second_dilation});
      },
      "input"_a, "multiplier"_a, "first"_a, "second"_a, "first_squeeze"_a, "second_squeeze"_a,
      "selection"_a, "expand"_a, "first_bias"_a = py::none(), "second_bias"_a = py::none(),
      "first_squeeze_bias"_a = py::none(), "second_squeeze_bias"_a = py::none(),
      "selection_bias"_a = py::none(), "expand_bias"_a = py::none(),
      "first_dilation"_a = functional::Pair{1, 1}, "second_dilation"_a = functional::Pair{3, 3},
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace

void bind_large_kernels(pybind11::module_& module) {
  namespace py = pybind11;
  using namespace py::literals;
  py::module_ names = module.def_submodule("functional");
  const auto release = py::call_guard<py::gil_scoped_release>();
  const functional::Pair ones{1, 1}, zeros{0, 0};
  names.def("depthwise_conv2d", &functional::depthwise_conv2d, "input"_a, "weight"_a,
            "bias"_a = py::none(), "padding"_a = zeros, "dilation"_a = ones, release);
  names.def("depthwise_conv2d_reference", &functional::depthwise_conv2d_reference, "input"_a,
            "weight"_a, "bias"_a = py::none(), "padding"_a = zeros, "dilation"_a = ones, release);
  names.def("dynamic_conv2d", &functional::dynamic_conv2d, "input"_a, "kernel"_a,
            "padding"_a = zeros, release);
  names.def("dynamic_conv2d_reference", &functional::dynamic_conv2d_reference, "input"_a,
            "kernel"_a, "padding"_a = zeros, release);
  define_selective(names, "large_selective_kernel", &functional::large_selective_kernel);
  define_selective(names, "large_selective_kernel_reference",
                   &functional::large_selective_kernel_reference);
}

}  // namespace deeplight::python
