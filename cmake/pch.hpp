// Precompiled for the compiled library, the bindings and the tests. Never included by a header.
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <nlohmann/json.hpp>
