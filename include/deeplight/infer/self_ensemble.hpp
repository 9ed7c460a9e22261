// The eight symmetries of a square grid, for averaging a network over flips and rotations.
//
// A symmetry swaps rows and columns or not, then reverses rows, then columns. It acts on tensors
// [..., H, W] and on windows of an image alike.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/raster/grid.hpp"

namespace deeplight {

struct Symmetry {
  bool transpose = false;
  bool reverse_rows = false;
  bool reverse_columns = false;

  /// [..., H, W] as seen after the symmetry.
  at::Tensor apply(const at::Tensor& image) const;
  /// Undoes `apply`.
  at::Tensor undo(const at::Tensor& image) const;

  /// Size {rows, columns} of an image after the symmetry.
  std::pair<std::int64_t, std::int64_t> size(std::int64_t rows, std::int64_t columns) const {
    return transpose ? std::pair{columns, rows} : std::pair{rows, columns};
  }
  /// Where a window of an image of rows x columns comes to lie.
  Window apply(const Window& window, std::int64_t rows, std::int64_t columns) const;
  /// Undoes `apply`; rows and columns are those of the original image.
  Window undo(const Window& window, std::int64_t rows, std::int64_t columns) const;
};

/// All eight with the identity first, or the identity alone.
std::vector<Symmetry> symmetries(bool all);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/self_ensemble_inl.hpp"
#endif
