// One table of kernels for float and one for double, and the choice between them.
#pragma once

#include <type_traits>

#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {

template <template <class> class Table>
struct ByType {
  Table<float> float32;
  Table<double> float64;

  // Inlined always: sources of several instruction sets include this (see kernels/simd.hpp).
  template <class T>
  DEEPLIGHT_ALWAYS_INLINE constexpr const Table<T>& of() const {
    if constexpr (std::is_same_v<T, float>) {
      return float32;
    } else {
      return float64;
    }
  }
};

}  // namespace deeplight::kernels
