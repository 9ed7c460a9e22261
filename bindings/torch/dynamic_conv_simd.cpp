// Convolution with a kernel per sample, compiled once per instruction set.
#include "deeplight/kernels/dynamic_conv_cpu.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DEFINE(kernels::DynamicTables, dynamic_table)
