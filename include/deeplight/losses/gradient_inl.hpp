// Definitions of losses/gradient.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/losses/gradient.hpp"
#include "deeplight/losses/pixel_loss.hpp"

namespace deeplight::losses {
namespace detail {

DEEPLIGHT_INLINE at::Tensor mean_absolute_step(const at::Tensor& image,
                                               const std::optional<at::Tensor>& valid) {
  // Sums and counts of both directions, so that every pair of a long image weighs the same.
  const auto far = [](const at::Tensor& tensor, std::int64_t dimension) {
    return tensor.narrow(dimension, 1, tensor.size(dimension) - 1);
  };
  const auto near = [](const at::Tensor& tensor, std::int64_t dimension) {
    return tensor.narrow(dimension, 0, tensor.size(dimension) - 1);
  };
  const at::Tensor wide = detail::at_least_single(image);
  const at::Tensor known = valid ? wide.masked_fill(valid->logical_not(), 0.0) : wide;
  at::Tensor sum = known.narrow(-1, 0, 0).sum();  // 0, with a gradient also where no pair is
  at::Tensor count = at::zeros({}, image.options().dtype(at::kLong));
  for (const std::int64_t dimension : {-2, -1}) {
    if (image.size(dimension) < 2) continue;
    at::Tensor step = (far(known, dimension) - near(known, dimension)).abs();
    if (valid) {
      const at::Tensor both = far(*valid, dimension).logical_and(near(*valid, dimension));
      step = step.masked_fill(both.logical_not(), 0.0);
      count = count + both.sum();
    } else {
      count = count + step.numel();
    }
    sum = sum + step.sum();
  }
  return (sum / count.clamp_min(1)).to(image.scalar_type());
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor gradient(const at::Tensor& prediction, const at::Tensor& target,
                                     const std::optional<at::Tensor>& mask) {
  require(prediction.sizes() == target.sizes(), "gradient loss: prediction is ", prediction.sizes(),
          ", target is ", target.sizes(), "; both must have one shape");
  require(prediction.dim() >= 2, "gradient loss: images have at least two dimensions, got ",
          prediction.sizes());
  std::optional<at::Tensor> valid;
  if (mask) valid = detail::valid_pixels("gradient loss", *mask, prediction);
  return detail::mean_absolute_step(prediction - target, valid);
}

}  // namespace deeplight::losses
