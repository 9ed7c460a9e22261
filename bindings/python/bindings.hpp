// One function per source file of this folder; module.cpp calls them in this order.
#pragma once

#include <torch/csrc/utils/pybind.h>

namespace deeplight::python {

void bind_errors(pybind11::module_& module);
void bind_functional(pybind11::module_& module);
void bind_block_mean(pybind11::module_& module);
void bind_large_kernels(pybind11::module_& module);
void bind_projection(pybind11::module_& module);
void bind_losses(pybind11::module_& module);
void bind_metrics(pybind11::module_& module);
void bind_metrics_windowed(pybind11::module_& module);
void bind_weights(pybind11::module_& module);
void bind_data(pybind11::module_& module);
void bind_parts(pybind11::module_& module);
void bind_network(pybind11::module_& module);
void bind_radiometry(pybind11::module_& module);
void bind_raster(pybind11::module_& module);
void bind_infer(pybind11::module_& module);

/// Called by bind_metrics, with its submodule.
void bind_metric_accumulators(pybind11::module_& module);

/// Called by bind_metrics_windowed, with the same submodule.
void bind_metric_statistics(pybind11::module_& module);

/// Called by bind_parts, with its submodule.
void bind_selective_kernel_parts(pybind11::module_& nn);

}  // namespace deeplight::python
