// functional.projection_conv2d, projection_conv_transpose2d, pixel_shuffle_conv1x1, affine_warp and
// pixel_warp for Python.
#include <pybind11/stl.h>

#include "bindings.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/functional/affine_warp.hpp"
#include "deeplight/functional/projection_conv.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
using namespace py::literals;
using Tensor = at::Tensor;
using OptionalTensor = std::optional<at::Tensor>;
using functional::Pair;
using functional::WarpPadding;

WarpPadding padding_named(const std::string& name) {
  if (name == "zeros") return WarpPadding::zeros;
  if (name == "border") return WarpPadding::border;
  require(name == "reflection", "padding_mode is '", name,
          "', expected zeros, border or reflection");
  return WarpPadding::reflection_edges;
}

template <class Function>
void define_projection(py::module_& module, const char* name, Function function) {
  module.def(
      name,
      [function](const Tensor& input, const Tensor& weight, const OptionalTensor& bias, Pair stride,
                 Pair padding, const OptionalTensor& slope, const OptionalTensor& residual,
                 double alpha) {
        return function(input, weight, bias, stride, padding, {slope, residual, alpha});
      },
      "input"_a, "weight"_a, "bias"_a, "stride"_a, "padding"_a, "slope"_a, "residual"_a, "alpha"_a,
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace

void bind_projection(py::module_& module) {
  auto functional = module.attr("functional").cast<py::module_>();
  define_projection(functional, "projection_conv2d", &functional::projection_conv2d);
  define_projection(functional, "projection_conv_transpose2d",
                    &functional::projection_conv_transpose2d);
  const auto release = py::call_guard<py::gil_scoped_release>();
  functional.def(
      "projection_conv2d_reference",
      [](const Tensor& input, const Tensor& weight, const OptionalTensor& bias, Pair stride,
         Pair padding, bool transposed, const OptionalTensor& slope, const OptionalTensor& residual,
         double alpha) {
        return functional::projection_conv2d_reference(input, weight, bias, stride, padding,
                                                       transposed, {slope, residual, alpha});
      },
      "input"_a, "weight"_a, "bias"_a, "stride"_a, "padding"_a, "transposed"_a, "slope"_a,
      "residual"_a, "alpha"_a, release);
  functional.def(
      "pixel_shuffle_conv1x1",
      [](const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
         std::int64_t upscale_factor, const OptionalTensor& slope) {
        return functional::pixel_shuffle_conv1x1(input, weight, bias, upscale_factor,
                                                 {.slope = slope});
      },
      "input"_a, "weight"_a, "bias"_a, "upscale_factor"_a, "slope"_a, release);
  functional.def(
      "affine_warp",
      [](const Tensor& input, const Tensor& theta, const std::vector<std::int64_t>& size,
         const std::string& padding_mode, bool align_corners) {
        return functional::affine_warp(input, theta, size, padding_named(padding_mode),
                                       align_corners);
      },
      "input"_a, "theta"_a, "size"_a, "padding_mode"_a, "align_corners"_a, release);
  const auto warp = [&](const char* name, auto function) {
    functional.def(
        name,
        [function](const Tensor& image, const Tensor& matrix, double centre_x, double centre_y,
                   double max_shift, const std::string& padding_mode) {
          return function(image, matrix, centre_x, centre_y, max_shift, padding_named(padding_mode),
                          {});
        },
        "image"_a, "matrix"_a, "centre_x"_a, "centre_y"_a, "max_shift"_a,
        "padding_mode"_a = "border", release);
  };
  warp("pixel_warp", &functional::pixel_warp);
  warp("pixel_warp_reference", &functional::pixel_warp_reference);
}

}  // namespace deeplight::python
