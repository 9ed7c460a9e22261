// The warp's kernels, compiled once per instruction set.
#include "deeplight/kernels/affine_warp_cpu.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DEFINE(kernels::WarpTables, warp_table)
