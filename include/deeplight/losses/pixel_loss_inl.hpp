// Definitions of losses/pixel_loss.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/losses/pixel_loss.hpp"

namespace deeplight::losses {
namespace detail {

DEEPLIGHT_INLINE at::Tensor weighted_mean(const at::Tensor& values, const at::Tensor& weight) {
  const at::Tensor total = weight.sum();
  return (values * weight).sum() / total.masked_fill(total.eq(0), 1.0);
}

DEEPLIGHT_INLINE at::Tensor expand_weight(const at::Tensor& weight, const at::Tensor& image) {
  bool fits = weight.dim() <= image.dim();
  for (std::int64_t i = 1; fits && i <= weight.dim(); ++i) {
    fits = weight.size(-i) == 1 || weight.size(-i) == image.size(-i);
  }
  require(fits, "loss: mask or weight ", weight.sizes(), " does not broadcast to the prediction ",
          image.sizes());
  return weight.to(image.scalar_type()).expand(image.sizes());
}

DEEPLIGHT_INLINE at::Tensor valid_pixels(const char* loss, const at::Tensor& mask,
                                         const at::Tensor& image) {
  require(mask.scalar_type() == at::kBool, loss, ": the mask must be boolean, got ",
          at::toString(mask.scalar_type()));
  return expand_weight(mask, image).to(at::kBool);
}

DEEPLIGHT_INLINE at::Tensor at_least_single(const at::Tensor& image) {
  const bool half = image.scalar_type() == at::kHalf || image.scalar_type() == at::kBFloat16;
  return half ? image.to(at::kFloat) : image;
}

DEEPLIGHT_INLINE at::Tensor pixel_values(const at::Tensor& difference,
                                         const PixelLossOptions& options) {
  switch (options.kind) {
    case PixelLoss::l1:
      return difference.abs();
    case PixelLoss::mse:
      return difference * difference;
    case PixelLoss::charbonnier:
      return (difference * difference + options.epsilon * options.epsilon).sqrt();
  }
  throw InvalidArgument("pixel_loss: unknown kind");
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor pixel_loss(const at::Tensor& prediction, const at::Tensor& target,
                                       const PixelLossOptions& options,
                                       const std::optional<at::Tensor>& weight) {
  require(prediction.sizes() == target.sizes(), "loss: prediction is ", prediction.sizes(),
          ", target is ", target.sizes(), "; both must have one shape");
  require(options.kind != PixelLoss::charbonnier || options.epsilon > 0.0,
          "loss: epsilon must be above 0, got ", options.epsilon);
  require(options.light_weight >= 0.0, "loss: light_weight must not be negative, got ",
          options.light_weight);
  at::Tensor difference = prediction - target;
  if (!weight && options.light_weight == 0.0) {
    return detail::pixel_values(difference, options).mean();
  }
  at::Tensor weights;
  if (weight) {
    weights = detail::expand_weight(*weight, prediction);
    difference = difference.masked_fill(weights.eq(0), 0.0);
  }
  if (options.light_weight != 0.0) {
    const at::Tensor light =
        target.gt(options.light_threshold).to(prediction.scalar_type()) * options.light_weight +
        1.0;
    weights = weights.defined() ? weights * light : light;
  }
  return detail::weighted_mean(detail::pixel_values(difference, options), weights);
}

}  // namespace deeplight::losses
