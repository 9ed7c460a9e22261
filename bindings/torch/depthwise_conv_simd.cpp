// Depthwise convolution, compiled once per instruction set.
#include "deeplight/kernels/depthwise_conv_cpu.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DEFINE(kernels::DepthwiseTables, depthwise_table)
