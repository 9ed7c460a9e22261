// The arrays of the raster floor. The one header that includes xtensor: its files moved in 0.26.
//
// Shapes are [bands, rows, columns], contiguous, row by row.
#pragma once

#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xtensor.hpp>
#else
#include <xtensor/xtensor.hpp>
#endif

#include <array>
#include <cstddef>
#include <cstdint>

namespace deeplight {

/// Values of one window of a raster, [bands, rows, columns].
using ValueArray = xt::xtensor<float, 3>;
/// One where the value of the same place is an observation, zero where it is missing.
using ValidArray = xt::xtensor<std::uint8_t, 3>;

/// An array of the given size, not initialised.
template <class Array>
Array make_array(std::int64_t bands, std::int64_t rows, std::int64_t columns) {
  return Array::from_shape({static_cast<std::size_t>(bands), static_cast<std::size_t>(rows),
                            static_cast<std::size_t>(columns)});
}

/// A window of a raster with its validity.
struct Block {
  ValueArray values;  ///< [bands, rows, columns]; finite, 0 where invalid
  ValidArray valid;   ///< [bands, rows, columns]; 0 for nodata, NaN, infinity, masked, transparent
};

}  // namespace deeplight
