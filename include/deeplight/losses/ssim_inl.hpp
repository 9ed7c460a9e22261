// Definitions of losses/ssim.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/max_pool2d.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/losses/pixel_loss.hpp"
#include "deeplight/losses/ssim.hpp"
#include "deeplight/metrics/ssim.hpp"

namespace deeplight::losses {

DEEPLIGHT_INLINE at::Tensor ssim(const at::Tensor& prediction, const at::Tensor& target,
                                 const SsimLossOptions& options,
                                 const std::optional<at::Tensor>& mask) {
  metrics::SsimOptions score;
  score.data_range = options.data_range;
  score.window_size = options.window_size;
  score.sigma = options.sigma;
  score.k1 = options.k1;
  score.k2 = options.k2;
  if (!mask) {
    const at::Tensor similarity = metrics::ssim_map(prediction, target, score);
    return (1.0 - similarity).mean().to(prediction.scalar_type());
  }
  const at::Tensor valid = detail::valid_pixels("ssim loss", *mask, prediction);
  score.mask = valid;
  const at::Tensor similarity = metrics::ssim_map(prediction, target, score);
  // The windows that the score drops: their map is NaN, but so is that of a broken prediction,
  // which must not pass for masked.
  const at::Tensor dropped =
      at::max_pool2d(valid.logical_not()
                         .to(at::kFloat)
                         .reshape({-1, 1, prediction.size(-2), prediction.size(-1)}),
                     {options.window_size, options.window_size}, {1, 1})
          .gt(0)
          .reshape(similarity.sizes());
  const at::Tensor cost = (1.0 - similarity).masked_fill(dropped, 0.0);
  const at::Tensor count = dropped.logical_not().sum().clamp_min(1);
  return (cost.sum() / count).to(prediction.scalar_type());
}

}  // namespace deeplight::losses
