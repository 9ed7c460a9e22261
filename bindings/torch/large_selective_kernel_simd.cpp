// The large selective kernel, compiled once per instruction set.
#include "deeplight/kernels/large_selective_kernel_table.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DEFINE(kernels::SelectiveTables, large_selective_kernel_table)
