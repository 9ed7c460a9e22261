// Definitions of losses/deeplight_loss.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <cmath>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/block_mean.hpp"
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
  const auto weight = [](const char* name, double value) {
    require(value >= 0.0 && std::isfinite(value), "loss: ", name,
            " is a weight and must be finite and not negative, got ", value);
  };
  weight("ssim", options_.ssim);
  weight("gradient", options_.gradient);
  weight("total_variation", options_.total_variation);
  weight("consistency", options_.consistency);
  weight("frequency", options_.frequency);
  require(options_.ssim == 0.0 || (options_.ssim_range > 0.0 && std::isfinite(options_.ssim_range)),
          "loss: ssim needs ssim_range, the peak of the images in normalised units, above 0, got ",
          options_.ssim_range);
  require(options_.consistency_scale >= 0, "loss: consistency_scale must not be negative, got ",
          options_.consistency_scale);
}

DEEPLIGHT_INLINE at::Tensor DeepLightLoss::consistency_term(
    const std::vector<at::Tensor>& pyramid, const at::Tensor& target,
    const std::optional<at::Tensor>& mask, const std::optional<at::Tensor>& low_resolution) const {
  const PixelLossOptions pixel{.kind = options_.pixel_loss, .epsilon = options_.epsilon};
  if (low_resolution) return radiance_consistency(pyramid.back(), *low_resolution, pixel, mask);
  const std::int64_t scale = options_.consistency_scale > 0
                                 ? options_.consistency_scale
                                 : target.size(-1) / pyramid.front().size(-1);
  std::optional<at::Tensor> valid;
  if (mask) valid = detail::valid_pixels("loss", *mask, target);
  return radiance_consistency(pyramid.back(), functional::block_mean(target, scale, valid), pixel,
                              mask);
}

DEEPLIGHT_INLINE DeepLightLossTerms DeepLightLoss::terms(
    const Output& output, const at::Tensor& target, const std::optional<at::Tensor>& auxiliary,
    const std::optional<at::Tensor>& mask, const std::optional<at::Tensor>& low_resolution) const {
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
  const at::Tensor& finest = pyramid.back();
  const auto add = [&terms](const char* name, double weight, auto&& compute) {
    if (weight == 0.0) return;
    terms.extra.emplace_back(name, compute());
    terms.total = terms.total + terms.extra.back().second * weight;
  };
  add("ssim", options_.ssim,
      [&] { return losses::ssim(finest, target, {.data_range = options_.ssim_range}, mask); });
  add("gradient", options_.gradient, [&] { return losses::gradient(finest, target, mask); });
  add("total_variation", options_.total_variation,
      [&] { return losses::total_variation(finest, mask); });
  add("consistency", options_.consistency,
      [&] { return consistency_term(pyramid, target, mask, low_resolution); });
  add("frequency", options_.frequency,
      [&] { return losses::frequency(finest, target, options_.spectrum, mask); });
  return terms;
}

}  // namespace deeplight::losses
