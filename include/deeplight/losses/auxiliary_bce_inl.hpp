// Definitions of losses/auxiliary_bce.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/losses/auxiliary_bce.hpp"
#include "deeplight/losses/pixel_loss.hpp"

namespace deeplight::losses {

DEEPLIGHT_INLINE at::Tensor auxiliary_bce(const at::Tensor& logits, const at::Tensor& target,
                                          const std::optional<at::Tensor>& mask,
                                          double positive_weight) {
  require(logits.sizes() == target.sizes(), "auxiliary_bce: logits are ", logits.sizes(),
          ", target is ", target.sizes(), "; both must have one shape");
  require(positive_weight > 0.0, "auxiliary_bce: positive_weight must be above 0, got ",
          positive_weight);
  std::optional<at::Tensor> balance;
  if (positive_weight != 1.0) balance = logits.new_full({1}, positive_weight);
  at::Tensor wanted = target.to(logits.scalar_type());
  if (!mask) return at::binary_cross_entropy_with_logits(logits, wanted, {}, balance);

  const at::Tensor weight = detail::expand_weight(*mask, logits);
  const at::Tensor invalid = weight.eq(0);
  const at::Tensor values = at::binary_cross_entropy_with_logits(
      logits.masked_fill(invalid, 0.0), wanted.masked_fill(invalid, 0.0), {}, balance,
      /*reduction=*/0);
  return detail::weighted_mean(values, weight);
}

}  // namespace deeplight::losses
