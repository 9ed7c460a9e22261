// A part of a network's low-resolution input: its bounds, and its window of a finer map.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deeplight/core/errors.hpp"
#include "deeplight/models/network.hpp"

namespace deeplight {

/// At least one pixel, and none outside the low resolution [B, 1, h, w].
/// @throws InvalidArgument
inline void check_part(const Part& part, const at::Tensor& low_resolution) {
  require(part.row >= 0 && part.column >= 0 && part.rows >= 1 && part.columns >= 1 &&
              part.row + part.rows <= low_resolution.size(2) &&
              part.column + part.columns <= low_resolution.size(3),
          "part ", part.rows, "x", part.columns, " at (", part.row, ", ", part.column,
          ") lies outside the low resolution ", low_resolution.sizes());
}

/// The part's window of a map that has `factor` pixels for each of its own along a side; a view.
inline at::Tensor cut_part(const at::Tensor& map, const Part& part, std::int64_t factor) {
  return map.narrow(2, factor * part.row, factor * part.rows)
      .narrow(3, factor * part.column, factor * part.columns);
}

}  // namespace deeplight
