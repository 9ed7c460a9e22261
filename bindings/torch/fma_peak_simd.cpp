// The peak of multiply-adds, compiled once per instruction set.
#include "deeplight/kernels/fma_peak_cpu.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DEFINE(kernels::FmaPeakTable, fma_peak_table)
