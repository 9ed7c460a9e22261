// Precompiled for the Python bindings.
#include <torch/csrc/utils/pybind.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <nlohmann/json.hpp>
