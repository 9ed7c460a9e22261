// Definitions of token_pooling.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <vector>

#include "deeplight/nn/token_pooling.hpp"

namespace deeplight::nn {
namespace detail {

/// Rows are the means over every bin of every level along a side: [1 + 2 + 3 + 6, size].
inline at::Tensor pyramid_means(std::int64_t size, const at::TensorOptions& options) {
  const auto positions = at::arange(size, options.dtype(at::kLong)).unsqueeze(0);
  std::vector<at::Tensor> levels;
  for (const std::int64_t bins : {1, 2, 3, 6}) {
    const auto bin = at::arange(bins, options.dtype(at::kLong)).unsqueeze(1);
    const auto first = at::floor_divide(bin * size, bins);
    const auto last = at::floor_divide((bin + 1) * size + (bins - 1), bins);
    const auto inside = at::logical_and(positions >= first, positions < last);
    levels.push_back(inside.to(options.dtype()) / (last - first).to(options.dtype()));
  }
  return at::cat(levels, 0);
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor pool_tokens(const at::Tensor& features, TokenPooling pooling) {
  if (pooling == TokenPooling::avg) return features.mean({2, 3}).unsqueeze(1);
  if (pooling == TokenPooling::max) return features.amax({2, 3}).unsqueeze(1);
  if (pooling == TokenPooling::avg_max)
    return at::stack({features.mean({2, 3}), features.amax({2, 3})}, 1);
  // Means over rectangles are separable: two products read the image once for all four levels.
  const auto rows = detail::pyramid_means(features.size(2), features.options());
  const auto columns = detail::pyramid_means(features.size(3), features.options());
  const auto all = at::matmul(rows, at::matmul(features, columns.t()));  // [B, C, 12, 12]
  std::vector<at::Tensor> levels;
  std::int64_t start = 0;
  for (const std::int64_t bins : {1, 2, 3, 6}) {
    levels.push_back(all.narrow(2, start, bins).narrow(3, start, bins).flatten(2));
    start += bins;
  }
  return at::cat(levels, 2).transpose(1, 2);
}

}  // namespace deeplight::nn
