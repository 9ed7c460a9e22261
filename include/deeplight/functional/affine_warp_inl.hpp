// Definitions of affine_warp.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/affine_warp.hpp"

namespace deeplight::functional {

DEEPLIGHT_INLINE at::Tensor affine_warp(const at::Tensor& image, const at::Tensor& matrix,
                                        double centre_x, double centre_y, double max_shift) {
  require(image.dim() == 4, "affine_warp: image must be [B, C, H, W], got ", image.sizes());
  require(matrix.dim() == 3 && matrix.size(1) == 2 && matrix.size(2) == 3 &&
              (matrix.size(0) == image.size(0) || matrix.size(0) == 1),
          "affine_warp: matrix must be [", image.size(0), " or 1, 2, 3], got ", matrix.sizes());
  const std::int64_t batch = image.size(0), height = image.size(2), width = image.size(3);
  const auto floats = matrix.options();
  const auto columns = at::arange(width, floats).view({1, 1, width});
  const auto rows = at::arange(height, floats).view({1, height, 1});
  const auto displacement = [&](std::int64_t axis) {
    const auto row = matrix.select(1, axis).unsqueeze(-1).unsqueeze(-1);  // [B, 3, 1, 1]
    return (row.select(1, 0) * (columns - centre_x) + row.select(1, 1) * (rows - centre_y) +
            row.select(1, 2))
        .clamp(-max_shift, max_shift)
        .expand({batch, height, width});
  };
  const auto dx = displacement(0), dy = displacement(1);
  const auto floor_x = dx.detach().floor(), floor_y = dy.detach().floor();
  const auto lx = (dx - floor_x).unsqueeze(1), ly = (dy - floor_y).unsqueeze(1);
  const auto flat = image.reshape({batch, image.size(1), height * width});
  const auto at_corner = [&](std::int64_t down, std::int64_t right) {
    const auto row = (rows + floor_y + down).clamp(0, height - 1);
    const auto column = (columns + floor_x + right).clamp(0, width - 1);
    const auto index =
        (row.to(at::kLong) * width + column.to(at::kLong)).reshape({batch, 1, height * width});
    return flat.gather(2, index.expand({-1, image.size(1), -1})).reshape(image.sizes());
  };
  const auto top = at_corner(0, 0) * (1 - lx) + at_corner(0, 1) * lx;
  const auto bottom = at_corner(1, 0) * (1 - lx) + at_corner(1, 1) * lx;
  return top * (1 - ly) + bottom * ly;
}

}  // namespace deeplight::functional
