// Definitions of losses/radiance_consistency.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/block_mean.hpp"
#include "deeplight/losses/radiance_consistency.hpp"

namespace deeplight::losses {

DEEPLIGHT_INLINE at::Tensor radiance_consistency(const at::Tensor& prediction,
                                                 const at::Tensor& low_resolution,
                                                 const PixelLossOptions& options,
                                                 const std::optional<at::Tensor>& mask,
                                                 const std::optional<at::Tensor>& coarse_mask) {
  require(prediction.dim() >= 2 && prediction.dim() == low_resolution.dim() &&
              low_resolution.numel() > 0,
          "radiance consistency: prediction is ", prediction.sizes(), ", low resolution is ",
          low_resolution.sizes(), "; both must be images of one batch");
  const std::int64_t factor = prediction.size(-1) / low_resolution.size(-1);
  require(factor >= 1 && low_resolution.size(-1) * factor == prediction.size(-1) &&
              low_resolution.size(-2) * factor == prediction.size(-2),
          "radiance consistency: the low resolution ", low_resolution.sizes(),
          " does not divide the prediction ", prediction.sizes(), " by one integer");
  std::optional<at::Tensor> valid, weight;
  if (mask) {
    valid = detail::valid_pixels("radiance consistency", *mask, prediction);
    weight = functional::block_mean(valid->to(prediction.scalar_type()), factor);
  }
  if (coarse_mask) {
    const at::Tensor known =
        detail::valid_pixels("radiance consistency", *coarse_mask, low_resolution)
            .to(prediction.scalar_type());
    weight = weight ? *weight * known : known;
  }
  return pixel_loss(functional::block_mean(prediction, factor, valid), low_resolution, options,
                    weight);
}

}  // namespace deeplight::losses
