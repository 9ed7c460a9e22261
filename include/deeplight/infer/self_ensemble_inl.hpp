// Definitions of self_ensemble.hpp.
#pragma once

#include <ATen/Functions.h>

#include "deeplight/infer/self_ensemble.hpp"

namespace deeplight {

namespace detail {

inline at::Tensor reversed(const at::Tensor& image, bool rows, bool columns) {
  std::vector<std::int64_t> dimensions;
  if (rows) dimensions.push_back(-2);
  if (columns) dimensions.push_back(-1);
  return dimensions.empty() ? image : at::flip(image, dimensions);
}

inline Window transposed(const Window& window) {
  return {window.column, window.row, window.columns, window.rows};
}

inline Window reversed(Window window, bool by_row, bool by_column, std::int64_t rows,
                       std::int64_t columns) {
  if (by_row) window.row = rows - window.row - window.rows;
  if (by_column) window.column = columns - window.column - window.columns;
  return window;
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor Symmetry::apply(const at::Tensor& image) const {
  return detail::reversed(transpose ? image.transpose(-2, -1) : image, reverse_rows,
                          reverse_columns)
      .contiguous();
}

DEEPLIGHT_INLINE at::Tensor Symmetry::undo(const at::Tensor& image) const {
  const at::Tensor straight = detail::reversed(image, reverse_rows, reverse_columns);
  return (transpose ? straight.transpose(-2, -1) : straight).contiguous();
}

DEEPLIGHT_INLINE Window Symmetry::apply(const Window& window, std::int64_t rows,
                                        std::int64_t columns) const {
  const auto [new_rows, new_columns] = size(rows, columns);
  return detail::reversed(transpose ? detail::transposed(window) : window, reverse_rows,
                          reverse_columns, new_rows, new_columns);
}

DEEPLIGHT_INLINE Window Symmetry::undo(const Window& window, std::int64_t rows,
                                       std::int64_t columns) const {
  const auto [new_rows, new_columns] = size(rows, columns);
  const Window straight =
      detail::reversed(window, reverse_rows, reverse_columns, new_rows, new_columns);
  return transpose ? detail::transposed(straight) : straight;
}

DEEPLIGHT_INLINE std::vector<Symmetry> symmetries(bool all) {
  if (!all) return {Symmetry{}};
  std::vector<Symmetry> eight;
  for (const bool transpose : {false, true}) {
    for (const bool rows : {false, true}) {
      for (const bool columns : {false, true}) eight.push_back({transpose, rows, columns});
    }
  }
  return eight;
}

}  // namespace deeplight
