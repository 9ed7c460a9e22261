// torch.ops.deeplight.simd_level, set_simd_level, fma_peak, cache_peak: which instruction set the
// CPU kernels use, and what it could do at best.
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/kernels/fma_peak_cpu.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DISPATCH(kernels::FmaPeakTable, fma_peak_table)

namespace deeplight::ops {
namespace {

constexpr const char* level_names[] = {"scalar", "baseline", "avx2", "avx512"};

bool machine_has(SimdLevel level) {
  if (level == SimdLevel::scalar || level == SimdLevel::baseline) return true;
#ifdef DEEPLIGHT_SIMD_X86
  // The builtin asks the processor and whether the operating system saves the registers.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (level == SimdLevel::avx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

SimdLevel level_named(const std::string& name, const char* who) {
  for (int i = 0; i < 4; ++i) {
    if (name != level_names[i]) continue;
    const auto level = static_cast<SimdLevel>(i);
    require(machine_has(level), who, " is '", name, "', which this machine does not have");
    return level;
  }
  throw InvalidArgument(concat(who, " is '", name, "', expected scalar, baseline, avx2 or avx512"));
}

SimdLevel first_level() {
  if (const char* wanted = std::getenv("DEEPLIGHT_SIMD"); wanted && *wanted)
    return level_named(wanted, "DEEPLIGHT_SIMD");
  for (const auto level : {SimdLevel::avx512, SimdLevel::avx2})
    if (machine_has(level)) return level;
  return SimdLevel::baseline;
}

std::atomic<SimdLevel>& current_level() {
  static std::atomic<SimdLevel> level{first_level()};
  return level;
}

std::string name_of_level() {
  return level_names[static_cast<int>(simd_level())];
}

void set_level(const std::string& name) {
  current_level() = level_named(name, "set_simd_level");
}

/// Multiply-adds of float32 per second with `threads` threads, the best of a few tries.
double fma_peak(std::int64_t threads) {
  require(threads >= 1, "fma_peak: threads must be at least 1, got ", threads);
  const auto& table = fma_peak_table();
  constexpr std::int64_t rounds = 2'000'000;
  std::vector<float> sinks(threads);
  double best = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    functional::torch_parallel_for(0, threads, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) sinks[i] = table.run(rounds);
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, double(threads * rounds * table.macs_per_round) / seconds.count());
  }
  return best;
}

/// Bytes per second that `threads` threads read again and again, each from `bytes` of its own.
double cache_peak(std::int64_t threads, std::int64_t bytes) {
  const auto& table = fma_peak_table();
  const std::int64_t step = table.read_multiple;
  const std::int64_t count = bytes / static_cast<std::int64_t>(sizeof(float)) / step * step;
  require(threads >= 1, "cache_peak: threads must be at least 1, got ", threads);
  require(count > 0 && bytes <= (std::int64_t{1} << 30), "cache_peak: bytes must be in [", 4 * step,
          ", 2^30], got ", bytes);
  const std::int64_t rounds = std::max<std::int64_t>(1, (std::int64_t{1} << 28) / bytes);
  std::vector<float> sinks(threads);
  const std::vector<float> data(threads * count, 1.0F);
  double best = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    functional::torch_parallel_for(0, threads, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        sinks[i] = table.read(data.data() + i * count, count, rounds);
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, double(threads * rounds * count * 4) / seconds.count());
  }
  return best;
}

}  // namespace

SimdLevel simd_level() {
  return current_level().load(std::memory_order_relaxed);
}

}  // namespace deeplight::ops

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def("simd_level() -> str", &deeplight::ops::name_of_level);
  library.def("fma_peak(int threads) -> float", &deeplight::ops::fma_peak);
  library.def("cache_peak(int threads, int bytes) -> float", &deeplight::ops::cache_peak);
  library.def("set_simd_level(str name) -> ()", &deeplight::ops::set_level);
}
