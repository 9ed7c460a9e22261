// Whether a float is a number and finite, from its bits: loops that ask it run in vectors, with any
// rule that the compiler keeps for the exceptions of comparisons.
#pragma once

#include <bit>
#include <cstdint>

namespace deeplight::detail {

inline bool is_finite(float value) {
  constexpr std::uint32_t exponent = 0x7f800000;  // all of it set: infinite or no number
  return (std::bit_cast<std::uint32_t>(value) & exponent) != exponent;
}

}  // namespace deeplight::detail
