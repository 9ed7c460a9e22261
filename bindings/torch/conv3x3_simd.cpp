// 3x3 convolution, compiled once per instruction set.
#include "deeplight/kernels/conv3x3_table.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DEFINE(kernels::Conv3x3Table, conv3x3_table)
