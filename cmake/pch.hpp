// Precompiled for the libraries, the tests and the examples. Never included by a header.
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <nlohmann/json.hpp>
