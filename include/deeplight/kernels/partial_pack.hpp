// The first lanes of a vector (kernels/simd.hpp): what is left of a row, without a loop of single
// numbers, and without reading or writing past its end.
#pragma once

#include <cstdint>
#include <type_traits>

#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {
inline namespace DEEPLIGHT_SIMD_TAG {
namespace simd {

/// Every lane, with the same functions.
template <class T, class Arch>
struct AllLanes {
  using Pack = simd::Pack<T, Arch>;
  DEEPLIGHT_ALWAYS_INLINE Pack load(const T* from) const { return Pack::load(from); }
  DEEPLIGHT_ALWAYS_INLINE void store(Pack pack, T* to) const { pack.store(to); }
};

/// Lanes [0, count) of vectors of T; count <= width. Other lanes are loaded as 0, and not stored.
template <class T, class Arch>
class FirstLanes {
 public:
  using Pack = simd::Pack<T, Arch>;

  explicit DEEPLIGHT_ALWAYS_INLINE FirstLanes(std::int64_t count) : count_(count) {}

  DEEPLIGHT_ALWAYS_INLINE Pack load(const T* from) const {
#if defined(__AVX512F__)
    if constexpr (masked && std::is_same_v<T, float>)
      return {typename Pack::Batch(_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask()), from))};
    if constexpr (masked && std::is_same_v<T, double>)
      return {typename Pack::Batch(_mm512_maskz_loadu_pd(static_cast<__mmask8>(mask()), from))};
#endif
    T lanes[Pack::width] = {};
    for (std::int64_t i = 0; i < count_; ++i) lanes[i] = from[i];
    return Pack::load(lanes);
  }

  DEEPLIGHT_ALWAYS_INLINE void store(Pack pack, T* to) const {
#if defined(__AVX512F__)
    if constexpr (masked && std::is_same_v<T, float>)
      return _mm512_mask_storeu_ps(to, static_cast<__mmask16>(mask()), pack.value);
    if constexpr (masked && std::is_same_v<T, double>)
      return _mm512_mask_storeu_pd(to, static_cast<__mmask8>(mask()), pack.value);
#endif
    T lanes[Pack::width];
    pack.store(lanes);
    for (std::int64_t i = 0; i < count_; ++i) to[i] = lanes[i];
  }

 private:
#if defined(__AVX512F__)
  static constexpr bool masked = std::is_base_of_v<xsimd::avx512f, Arch>;
#endif
  DEEPLIGHT_ALWAYS_INLINE unsigned mask() const { return (1U << count_) - 1U; }

  std::int64_t count_;
};

}  // namespace simd
}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
