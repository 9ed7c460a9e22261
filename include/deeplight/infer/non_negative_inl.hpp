// Definitions of non_negative.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/infer/non_negative.hpp"

namespace deeplight {

DEEPLIGHT_INLINE at::Tensor non_negative_block_mean(const at::Tensor& image,
                                                    const at::Tensor& low_resolution,
                                                    std::int64_t scale) {
  require(image.dim() >= 2 && scale >= 1 && image.size(-2) == low_resolution.size(-2) * scale &&
              image.size(-1) == low_resolution.size(-1) * scale,
          "non_negative_block_mean: the image is ", image.sizes(), ", the low resolution ",
          low_resolution.sizes(), ", the scale ", scale);
  const std::int64_t rows = low_resolution.size(-2), columns = low_resolution.size(-1);
  const std::int64_t pixels = scale * scale;
  const at::Tensor blocks = image.to(at::kDouble)
                                .reshape({-1, rows, scale, columns, scale})
                                .permute({0, 1, 3, 2, 4})
                                .reshape({-1, rows, columns, pixels});
  const at::Tensor total =
      low_resolution.to(at::kDouble).reshape({-1, rows, columns, 1}) * static_cast<double>(pixels);
  const at::Tensor sorted = std::get<0>(blocks.sort(/*dim=*/-1, /*descending=*/true));
  const at::Tensor ranks = at::arange(1, pixels + 1, sorted.options());
  const at::Tensor thresholds = (sorted.cumsum(-1) - total) / ranks;
  // The largest rank whose value lies above its threshold; a dark block has none and is all zero.
  const at::Tensor above = sorted.gt(thresholds).to(at::kLong).sum(-1, true);
  const at::Tensor threshold = thresholds.gather(-1, (above - 1).clamp_min(0));
  const at::Tensor projected = (blocks - threshold).clamp_min(0.0).masked_fill(total.eq(0.0), 0.0);
  return projected.reshape({-1, rows, columns, scale, scale})
      .permute({0, 1, 3, 2, 4})
      .reshape(image.sizes())
      .to(image.scalar_type());
}

}  // namespace deeplight
