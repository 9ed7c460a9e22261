// Run-time choice of the instruction set, for the kernels that deeplight::ops compiles.
//
// An operator x keeps its kernels in `kernels/x_cpu.hpp` as a table of functions on plain
// structures: `struct XTable` outside of the tagged namespace, `template <class Arch> XTable
// x_table()` inside. Then
//
//   bindings/torch/x_simd.cpp   is one line, DEEPLIGHT_SIMD_DEFINE(kernels::XTable, x_table): the
//                               build compiles it once per level, each with its own flags
//   bindings/torch/x_op.cpp     says DEEPLIGHT_SIMD_DISPATCH(kernels::XTable, x_table) and calls
//                               ops::x_table(), the table of the level in use
//
// The level is the best that the processor has. The environment variable DEEPLIGHT_SIMD (scalar,
// baseline, avx2, avx512), read once, or torch.ops.deeplight.set_simd_level(name) takes another, so
// that tests run all of them.
#pragma once

#include "deeplight/kernels/simd.hpp"

namespace deeplight::ops {

enum class SimdLevel { scalar, baseline, avx2, avx512 };

/// The level in use. @throws InvalidArgument  DEEPLIGHT_SIMD names none that this machine has
SimdLevel simd_level();

}  // namespace deeplight::ops

#ifdef DEEPLIGHT_SIMD_X86
#define DEEPLIGHT_SIMD_PICK_X86(function)                         \
  if (level == SimdLevel::avx2) return levels::function##_avx2(); \
  if (level == SimdLevel::avx512) return levels::function##_avx512();
#define DEEPLIGHT_SIMD_DECLARE_X86(Table, function) \
  const Table& function##_avx2();                   \
  const Table& function##_avx512();
#else
#define DEEPLIGHT_SIMD_PICK_X86(function)
#define DEEPLIGHT_SIMD_DECLARE_X86(Table, function)
#endif

/// Defines `const Table& function()` in deeplight::ops, over the levels' own.
#define DEEPLIGHT_SIMD_DISPATCH(Table, function)                        \
  namespace deeplight::ops {                                            \
  namespace levels {                                                    \
  const Table& function##_scalar();                                     \
  const Table& function##_baseline();                                   \
  DEEPLIGHT_SIMD_DECLARE_X86(Table, function)                           \
  }                                                                     \
  static const Table& function() {                                      \
    const SimdLevel level = simd_level();                               \
    DEEPLIGHT_SIMD_PICK_X86(function)                                   \
    if (level == SimdLevel::scalar) return levels::function##_scalar(); \
    return levels::function##_baseline();                               \
  }                                                                     \
  }

#ifdef DEEPLIGHT_SIMD_LEVEL
namespace deeplight::ops::level_arch {
using scalar = kernels::simd::Scalar;
using baseline = kernels::simd::Native;
using avx2 = kernels::simd::Native;
using avx512 = kernels::simd::Native;
}  // namespace deeplight::ops::level_arch

#define DEEPLIGHT_SIMD_JOIN_(a, b) a##_##b
#define DEEPLIGHT_SIMD_JOIN(a, b) DEEPLIGHT_SIMD_JOIN_(a, b)
/// Defines this level's table from `kernels::function<Arch>()`.
#define DEEPLIGHT_SIMD_DEFINE(Table, function)                                                 \
  namespace deeplight::ops::levels {                                                           \
  const Table& DEEPLIGHT_SIMD_JOIN(function, DEEPLIGHT_SIMD_LEVEL)();                          \
  const Table& DEEPLIGHT_SIMD_JOIN(function, DEEPLIGHT_SIMD_LEVEL)() {                         \
    static constexpr Table table = kernels::function<ops::level_arch::DEEPLIGHT_SIMD_LEVEL>(); \
    return table;                                                                              \
  }                                                                                            \
  }
#endif
