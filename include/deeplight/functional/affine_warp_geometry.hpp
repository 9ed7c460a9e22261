// Shape rules of affine warps, shared by their reference and their kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/kernels/warp_axis.hpp"

namespace deeplight::functional::detail {

/// What a warp needs beside its tensors.
struct WarpOptions {
  double centre_x = 0, centre_y = 0, max_shift = 0;
  kernels::WarpPadding padding = kernels::WarpPadding::border;
  std::vector<std::int64_t> size{};
};

/// Checks every shape and gives the sizes of a warp.
/// @throws InvalidArgument  with the rule and both values
inline kernels::WarpGeometry warp_geometry(const at::Tensor& image, const at::Tensor& matrix,
                                           const WarpOptions& options) {
  require(image.dim() == 4, "affine_warp: image must be [B, C, H, W], got ", image.sizes());
  require(image.size(2) > 0 && image.size(3) > 0,
          "affine_warp: image has no pixels: ", image.sizes());
  require(matrix.dim() == 3 && matrix.size(1) == 2 && matrix.size(2) == 3 &&
              (matrix.size(0) == image.size(0) || matrix.size(0) == 1),
          "affine_warp: matrix must be [", image.size(0), " or 1, 2, 3], got ", matrix.sizes());
  require(options.size.empty() || options.size.size() == 2,
          "affine_warp: size must be rows and columns, got ", options.size.size(), " values");
  require(options.max_shift >= 0, "affine_warp: max_shift must not be negative, got ",
          options.max_shift);
  const bool own = options.size.empty();
  return {image.size(0),
          image.size(1),
          image.size(2),
          image.size(3),
          own ? image.size(2) : options.size[0],
          own ? image.size(3) : options.size[1],
          matrix.size(0),
          options.centre_x,
          options.centre_y,
          options.max_shift,
          options.padding};
}

}  // namespace deeplight::functional::detail
