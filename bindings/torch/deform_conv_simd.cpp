// The kernels of deformable convolution, compiled once per instruction set.
#include "deeplight/kernels/deform_conv_backward_cpu.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DEFINE(kernels::DeformConvTable, deform_conv_table)
