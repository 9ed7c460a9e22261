// Definitions of token_pooling.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <vector>

#include "deeplight/nn/token_pooling.hpp"

namespace deeplight::nn {
namespace detail {

/// Which pixels of a side belong to every bin of every level, as ones: [1 + 2 + 3 + 6, size].
inline at::Tensor pyramid_bins(std::int64_t size, const at::TensorOptions& options) {
  const auto positions = at::arange(size, options.dtype(at::kLong)).unsqueeze(0);
  std::vector<at::Tensor> levels;
  for (const std::int64_t bins : {1, 2, 3, 6}) {
    const auto bin = at::arange(bins, options.dtype(at::kLong)).unsqueeze(1);
    const auto first = at::floor_divide(bin * size, bins);
    const auto last = at::floor_divide((bin + 1) * size + (bins - 1), bins);
    levels.push_back(at::logical_and(positions >= first, positions < last));
  }
  return at::cat(levels, 0).to(options.dtype());
}

/// rows * image * columns^T for every channel. Sums over rectangles are separable, and two products
/// read the image once for all levels; in either layout it is not copied. The factors are ones, so
/// that autocast loses nothing of them.
inline at::Tensor rectangle_sums(const at::Tensor& image, const at::Tensor& rows,
                                 const at::Tensor& columns) {
  if (!image.is_contiguous(at::MemoryFormat::ChannelsLast) || image.is_contiguous())
    return at::matmul(rows, at::matmul(image, columns.t()));
  const std::int64_t batch = image.size(0), width = image.size(3), channels = image.size(1);
  const auto lines = image.permute({0, 2, 3, 1}).reshape({batch, -1, width * channels});
  const auto down = at::matmul(rows, lines).reshape({batch, -1, width, channels});
  return at::matmul(columns, down).permute({0, 3, 1, 2});
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor pool_tokens(const at::Tensor& features, TokenPooling pooling) {
  if (pooling == TokenPooling::avg) return features.mean({2, 3}).unsqueeze(1);
  if (pooling == TokenPooling::max) return features.amax({2, 3}).unsqueeze(1);
  if (pooling == TokenPooling::avg_max)
    return at::stack({features.mean({2, 3}), features.amax({2, 3})}, 1);
  const auto rows = detail::pyramid_bins(features.size(2), features.options());
  const auto columns = detail::pyramid_bins(features.size(3), features.options());
  const auto pixels = at::outer(rows.sum(1), columns.sum(1));
  const auto all = detail::rectangle_sums(features, rows, columns) / pixels;  // [B, C, 12, 12]
  std::vector<at::Tensor> levels;
  std::int64_t start = 0;
  for (const std::int64_t bins : {1, 2, 3, 6}) {
    levels.push_back(all.narrow(2, start, bins).narrow(3, start, bins).flatten(2));
    start += bins;
  }
  return at::cat(levels, 2).transpose(1, 2);
}

}  // namespace deeplight::nn
