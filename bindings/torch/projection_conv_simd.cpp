// The projection kernels, compiled once per instruction set.
#include "deeplight/kernels/projection_conv_cpu.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DEFINE(kernels::ProjectionTables, projection_table)
