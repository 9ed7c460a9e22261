// The machine's peaks of multiply-adds and of reading from a cache, by loops that do nothing else:
// what benchmarks divide by.
#pragma once

#include <cstdint>

#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {

/// Runs `rounds` rounds; returns a sum that depends on all of them. `macs_per_round` multiply-adds
/// of float32 each.
struct FmaPeakTable {
  float (*run)(std::int64_t rounds);
  std::int64_t macs_per_round;
  /// Reads `count` numbers, a multiple of `read_multiple`, `rounds` times.
  float (*read)(const float* data, std::int64_t count, std::int64_t rounds);
  std::int64_t read_multiple;
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
float cache_read_run(const float* data, std::int64_t count, std::int64_t rounds) {
  using Pack = simd::Pack<float, Arch>;
  Pack sums[8];
  for (int i = 0; i < 8; ++i) sums[i] = Pack::zero();
  for (std::int64_t r = 0; r < rounds; ++r) {
    for (std::int64_t at = 0; at < count; at += 8 * Pack::width) {
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) sums[i] = sums[i] + Pack::load(data + at + i * Pack::width);
    }
  }
  float total = 0;
  for (int i = 0; i < 8; ++i) total += sums[i].sum();
  return total;
}

template <class Arch>
constexpr FmaPeakTable fma_peak_table() {
  constexpr std::int64_t width = simd::Pack<float, Arch>::width;
  return {&fma_peak_run<Arch>, 12 * width, &cache_read_run<Arch>, 8 * width};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
