// Definitions of losses/total_variation.hpp.
#pragma once

#include "deeplight/core/errors.hpp"
#include "deeplight/losses/gradient.hpp"
#include "deeplight/losses/pixel_loss.hpp"
#include "deeplight/losses/total_variation.hpp"

namespace deeplight::losses {

DEEPLIGHT_INLINE at::Tensor total_variation(const at::Tensor& image,
                                            const std::optional<at::Tensor>& mask) {
  require(image.dim() >= 2, "total variation: images have at least two dimensions, got ",
          image.sizes());
  std::optional<at::Tensor> valid;
  if (mask) valid = detail::valid_pixels("total variation", *mask, image);
  return detail::mean_absolute_step(image, valid);
}

}  // namespace deeplight::losses
