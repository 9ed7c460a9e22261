// torch.ops.deeplight.simd_level, set_simd_level: which instruction set the CPU kernels use.
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "deeplight/core/errors.hpp"
#include "simd_levels.hpp"

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

}  // namespace

SimdLevel simd_level() {
  return current_level().load(std::memory_order_relaxed);
}

}  // namespace deeplight::ops

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def("simd_level() -> str", &deeplight::ops::name_of_level);
  library.def("set_simd_level(str name) -> ()", &deeplight::ops::set_level);
}
