// The machine's peak of multiply-adds, by a loop that does nothing else: what benchmarks divide by.
#pragma once

#include <cstdint>

#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {

/// Runs `rounds` rounds; returns a sum that depends on all of them. `macs_per_round` multiply-adds
/// of float32 each.
struct FmaPeakTable {
  float (*run)(std::int64_t rounds);
  std::int64_t macs_per_round;
};

inline namespace DEEPLIGHT_SIMD_TAG {

template <class Arch>
float fma_peak_run(std::int64_t rounds) {
  using Pack = simd::Pack<float, Arch>;
  Pack sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = Pack::all(1e-3F * float(i));
  const Pack factor = Pack::all(0.999F), shift = Pack::all(1e-4F);
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sums[i] = fma(sums[i], factor, shift);
  }
  float total = 0;
  for (int i = 0; i < 12; ++i) total += sums[i].sum();
  return total;
}

template <class Arch>
constexpr FmaPeakTable fma_peak_table() {
  return {&fma_peak_run<Arch>, 12 * simd::Pack<float, Arch>::width};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
