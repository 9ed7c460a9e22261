// 3x3 convolution by F(4x4, 3x3), compiled once per instruction set.
#include "deeplight/kernels/winograd_conv_cpu.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DEFINE(kernels::WinogradTable, winograd_table)
