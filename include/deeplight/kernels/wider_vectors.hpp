// Loops of plain C++ in wider vectors where the machine has them, chosen when the program runs.
//
// For kernels that are no templates on an architecture (kernels/simd.hpp): the compiler makes the
// vectors. AVX2 alone, without fused multiply-adds: every lane computes what a scalar would, so the
// bits are the same on every machine.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__AVX2__)
#define DEEPLIGHT_WIDER_VECTORS 1
#endif

namespace deeplight::kernels {

#ifdef DEEPLIGHT_WIDER_VECTORS
namespace detail {

template <class Body>
__attribute__((target("avx2"), flatten)) void in_avx2(const Body& body) {
  body();
}

}  // namespace detail
#endif

/// Runs `body()`, whose calls are inlined and compiled for the machine's vectors.
template <class Body>
void in_wider_vectors(const Body& body) {
#ifdef DEEPLIGHT_WIDER_VECTORS
  if (__builtin_cpu_supports("avx2")) return detail::in_avx2(body);
#endif
  body();
}

}  // namespace deeplight::kernels
