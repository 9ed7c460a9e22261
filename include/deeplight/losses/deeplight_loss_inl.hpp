// Definitions of losses/deeplight_loss.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/losses/deeplight_loss.hpp"

namespace deeplight::losses {

DEEPLIGHT_INLINE DeepLightLoss::DeepLightLoss(DeepLightLossOptions options)
    : options_(std::move(options)) {
  require(options_.alpha >= 0.0 && options_.alpha <= 1.0, "loss: alpha must lie in [0, 1], got ",
          options_.alpha);
  require(options_.epsilon > 0.0, "loss: epsilon must be above 0, got ", options_.epsilon);
  require(options_.light_weight >= 0.0, "loss: light_weight must not be negative, got ",
          options_.light_weight);
  require(options_.auxiliary_positive_weight > 0.0,
          "loss: auxiliary_positive_weight must be above 0, got ",
          options_.auxiliary_positive_weight);
  pyramid_weights(options_.beta, 1);
}

DEEPLIGHT_INLINE DeepLightLossTerms DeepLightLoss::terms(
    const Output& output, const at::Tensor& target, const std::optional<at::Tensor>& auxiliary,
    const std::optional<at::Tensor>& mask) const {
  const std::vector<at::Tensor> pyramid =
      output.pyramid.empty() ? std::vector<at::Tensor>{output.image} : output.pyramid;
  MultiScaleTerms scales = multi_scale(pyramid, target, options_.beta,
                                       {.kind = options_.pixel_loss,
                                        .epsilon = options_.epsilon,
                                        .light_weight = options_.light_weight,
                                        .light_threshold = options_.light_threshold},
                                       mask);
  DeepLightLossTerms terms;
  terms.image = std::move(scales.total);
  terms.levels = std::move(scales.levels);
  terms.total = terms.image;
  if (auxiliary && output.auxiliary_logits) {
    terms.auxiliary = auxiliary_bce(*output.auxiliary_logits, *auxiliary, mask,
                                    options_.auxiliary_positive_weight);
    terms.total = terms.image * options_.alpha + terms.auxiliary * (1.0 - options_.alpha);
  }
  return terms;
}

}  // namespace deeplight::losses
