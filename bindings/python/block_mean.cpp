// functional.block_mean and functional.enforce_block_mean for Python.
#include <pybind11/stl.h>

#include "bindings.hpp"
#include "deeplight/functional/block_mean.hpp"

namespace deeplight::python {

void bind_block_mean(pybind11::module_& module) {
  namespace py = pybind11;
  py::module_ functional = module.def_submodule("functional");
  functional.def("block_mean", &functional::block_mean, py::arg("image"), py::arg("scale"),
                 py::arg("valid") = py::none(), py::call_guard<py::gil_scoped_release>(),
                 R"(Mean over blocks of scale x scale pixels: the area average.

Args:
    image: [..., r*h, r*w], floating.
    scale: r >= 1.
    valid: boolean, broadcasts to the image; the mean is over valid pixels only, and 0 in a block
        without any.

Returns:
    [..., h, w], differentiable.

Raises:
    ValueError: a side is no multiple of the scale, or the mask is not boolean.
)");
  functional.def(
      "enforce_block_mean",
      [](const at::Tensor& image, const at::Tensor& low_resolution, std::int64_t scale,
         const std::string& consistency, const std::optional<at::Tensor>& valid) {
        return functional::enforce_block_mean(image, low_resolution, scale,
                                              enum_from_string<Consistency>(consistency), valid);
      },
      py::arg("image"), py::arg("low_resolution"), py::arg("scale"),
      py::arg("consistency") = "multiplicative", py::arg("valid") = py::none(),
      py::call_guard<py::gil_scoped_release>(),
      R"(Changes an image so that its block means equal the low resolution, within rounding.

Args:
    image: [..., r*h, r*w], floating, in linear units.
    low_resolution: [..., h, w] in the same units; not negative for "multiplicative".
    scale: r >= 1.
    consistency: "additive" adds the same amount to every pixel of a block and may go below 0;
        "multiplicative" sets negative pixels to 0, then scales each block; a block that is dark
        where the low resolution is not is filled evenly with it.
    valid: boolean, broadcasts to the image; means are over valid pixels, invalid pixels keep their
        values, a block without valid pixels is left alone.

Returns:
    The consistent image, differentiable. Applying the step twice changes nothing more.

Raises:
    ValueError: shapes do not fit, the mask is not boolean, or the consistency is unknown.
)");
}

}  // namespace deeplight::python
