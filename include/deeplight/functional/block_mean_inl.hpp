// Definitions of functional/block_mean.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/block_mean.hpp"

namespace deeplight::functional {
namespace detail {

// [..., r*h, r*w] -> [..., h, r, w, r]
DEEPLIGHT_INLINE at::Tensor to_blocks(const at::Tensor& image, std::int64_t scale) {
  require(scale >= 1, "block_mean: scale must be at least 1, got ", scale);
  require(image.dim() >= 2, "block_mean: the image needs at least two dimensions, got ",
          image.sizes());
  const std::int64_t rows = image.size(-2);
  const std::int64_t columns = image.size(-1);
  require(rows % scale == 0 && columns % scale == 0, "block_mean: the sides ", rows, "x", columns,
          " must be multiples of the scale ", scale);
  std::vector<std::int64_t> shape(image.sizes().begin(), image.sizes().end() - 2);
  shape.insert(shape.end(), {rows / scale, scale, columns / scale, scale});
  return image.reshape(shape);
}

DEEPLIGHT_INLINE at::Tensor mask_blocks(const at::Tensor& valid, const at::Tensor& image,
                                        std::int64_t scale) {
  require(valid.scalar_type() == at::kBool, "block_mean: valid must be boolean, got ",
          at::toString(valid.scalar_type()));
  bool fits = valid.dim() <= image.dim();
  for (std::int64_t i = 1; fits && i <= valid.dim(); ++i) {
    fits = valid.size(-i) == 1 || valid.size(-i) == image.size(-i);
  }
  require(fits, "block_mean: valid ", valid.sizes(), " does not broadcast to the image ",
          image.sizes());
  return to_blocks(valid.expand(image.sizes()), scale);
}

// Keeps the two block dimensions, so that the result broadcasts against the blocks.
DEEPLIGHT_INLINE at::Tensor mean_of_blocks(const at::Tensor& blocks, const at::Tensor& valid) {
  if (!valid.defined()) return blocks.mean({-3, -1}, true);
  const at::Tensor count = valid.sum({-3, -1}, true).clamp_min(1);
  return blocks.masked_fill(valid.logical_not(), 0.0).sum({-3, -1}, true) / count;
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor block_mean(const at::Tensor& image, std::int64_t scale,
                                       const std::optional<at::Tensor>& valid) {
  const at::Tensor blocks = detail::to_blocks(image, scale);
  const at::Tensor mask = valid ? detail::mask_blocks(*valid, image, scale) : at::Tensor();
  return detail::mean_of_blocks(blocks, mask).squeeze(-1).squeeze(-2);
}

DEEPLIGHT_INLINE at::Tensor enforce_block_mean(const at::Tensor& image,
                                               const at::Tensor& low_resolution, std::int64_t scale,
                                               Consistency consistency,
                                               const std::optional<at::Tensor>& valid) {
  at::Tensor blocks = detail::to_blocks(image, scale);
  std::vector<std::int64_t> coarse(image.sizes().begin(), image.sizes().end());
  coarse[coarse.size() - 2] /= scale;
  coarse[coarse.size() - 1] /= scale;
  require(low_resolution.sizes() == at::IntArrayRef(coarse),
          "enforce_block_mean: the low resolution is ", low_resolution.sizes(), ", expected ",
          at::IntArrayRef(coarse), " = image ", image.sizes(), " / ", scale);
  if (consistency == Consistency::none) return image;
  const at::Tensor mask = valid ? detail::mask_blocks(*valid, image, scale) : at::Tensor();
  const at::Tensor wanted = low_resolution.unsqueeze(-1).unsqueeze(-3);

  at::Tensor consistent;
  if (consistency == Consistency::additive) {
    consistent = blocks + (wanted - detail::mean_of_blocks(blocks, mask));
  } else {
    const at::Tensor light = blocks.clamp_min(0.0);
    const at::Tensor mean = detail::mean_of_blocks(light, mask);
    const at::Tensor dark = mean.eq(0.0);
    // The quotient first: it is at most r*r, whatever the units.
    const at::Tensor share = light / mean.masked_fill(dark, 1.0);
    consistent = share.masked_fill(dark, 1.0) * wanted;
  }
  if (mask.defined()) {
    const at::Tensor kept = mask.logical_not();
    consistent = consistent.masked_fill(kept, 0.0) + blocks.masked_fill(mask, 0.0);
  }
  return consistent.reshape(image.sizes());
}

}  // namespace deeplight::functional
