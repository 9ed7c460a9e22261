// deeplight._native: the native code as Python sees it.
#include "bindings.hpp"
#include "deeplight/core/config.hpp"

#ifndef DEEPLIGHT_MODULE_NAME
#define DEEPLIGHT_MODULE_NAME _native
#endif

PYBIND11_MODULE(DEEPLIGHT_MODULE_NAME, module) {
  using namespace deeplight::python;
  module.doc() = "Native networks, operators, rasters and metrics of deeplight.";
  module.attr("__version__") = deeplight::version;
  bind_errors(module);
  bind_functional(module);
  bind_block_mean(module);
  bind_large_kernels(module);
  bind_projection(module);
  bind_losses(module);
  bind_metrics(module);
  bind_metrics_windowed(module);
  bind_weights(module);
  bind_data(module);
  bind_parts(module);
  bind_network(module);
  bind_radiometry(module);
#ifdef DEEPLIGHT_RASTER
  bind_raster(module);
  bind_infer(module);
  module.attr("has_raster") = true;
#else
  module.attr("has_raster") = false;
#endif
}
