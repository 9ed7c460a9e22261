// Definitions of losses/deeplight_loss.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/block_mean.hpp"
#include "deeplight/losses/deeplight_loss.hpp"

namespace deeplight::losses {

namespace detail {

/// Neighbours along both directions of which both are valid.
inline double valid_pairs(const at::Tensor& valid) {
  std::int64_t pairs = 0;
  for (const std::int64_t dimension : {-2, -1}) {
    const std::int64_t steps = valid.size(dimension) - 1;
    if (steps < 1) continue;
    const at::Tensor both =
        valid.narrow(dimension, 1, steps).logical_and(valid.narrow(dimension, 0, steps));
    pairs += both.sum().item<std::int64_t>();
  }
  return static_cast<double>(pairs);
}

/// Windows of the SSIM that hold valid pixels alone.
inline double whole_windows(const at::Tensor& valid, std::int64_t window) {
  if (std::min(valid.size(-1), valid.size(-2)) < window) return 0.0;
  const at::Tensor spoiled = at::max_pool2d(
      valid.logical_not().to(at::kFloat).reshape({-1, 1, valid.size(-2), valid.size(-1)}),
      {window, window}, {1, 1});
  return static_cast<double>(spoiled.eq(0).sum().item<std::int64_t>());
}

}  // namespace detail

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
    const std::optional<at::Tensor>& mask, const std::optional<at::Tensor>& low_resolution,
    const std::optional<at::Tensor>& factors) const {
  const std::vector<at::Tensor> pyramid =
      output.pyramid.empty() ? std::vector<at::Tensor>{output.image} : output.pyramid;
  MultiScaleTerms scales = multi_scale(pyramid, target, options_.beta,
                                       {.kind = options_.pixel_loss,
                                        .epsilon = options_.epsilon,
                                        .light_weight = options_.light_weight,
                                        .light_threshold = options_.light_threshold},
                                       mask);
  std::int64_t next = 0;
  const auto scaled = [&](const at::Tensor& term) {
    return factors ? term * factors->select(0, next++).to(term.options()) : term;
  };
  if (factors) {
    const auto extras = static_cast<std::int64_t>(active_extras().size());
    const auto levels = static_cast<std::int64_t>(scales.levels.size());
    require(factors->dim() == 1 && factors->size(0) == levels + 1 + extras,
            "loss: factors must be [", levels + 1 + extras, "] for ", levels,
            " levels, the auxiliary and ", extras, " extra terms, got ", factors->sizes());
    const std::vector<double> weights = pyramid_weights(options_.beta, pyramid.size());
    scales.total = at::Tensor();
    for (std::size_t level = 0; level < weights.size(); ++level) {
      scales.levels[level] = scaled(scales.levels[level]);
      const at::Tensor share = scales.levels[level] * weights[level];
      scales.total = scales.total.defined() ? scales.total + share : share;
    }
  }
  DeepLightLossTerms terms;
  terms.image = std::move(scales.total);
  terms.levels = std::move(scales.levels);
  terms.total = terms.image;
  if (auxiliary && output.auxiliary_logits) {
    terms.auxiliary = scaled(auxiliary_bce(*output.auxiliary_logits, *auxiliary, mask,
                                           options_.auxiliary_positive_weight));
    terms.total = terms.image * options_.alpha + terms.auxiliary * (1.0 - options_.alpha);
  }
  next = static_cast<std::int64_t>(terms.levels.size()) + 1;
  const at::Tensor& finest = pyramid.back();
  const auto add = [&](const char* name, double weight, auto&& compute) {
    if (weight == 0.0) return;
    terms.extra.emplace_back(name, scaled(compute()));
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

DEEPLIGHT_INLINE std::vector<std::string> DeepLightLoss::active_extras() const {
  std::vector<std::string> names;
  const auto add = [&](const char* name, double weight) {
    if (weight != 0.0) names.emplace_back(name);
  };
  add("ssim", options_.ssim);
  add("gradient", options_.gradient);
  add("total_variation", options_.total_variation);
  add("consistency", options_.consistency);
  add("frequency", options_.frequency);
  return names;
}

DEEPLIGHT_INLINE at::Tensor DeepLightLoss::counts(const std::vector<at::Tensor>& pyramid,
                                                  const at::Tensor& target,
                                                  const at::Tensor& mask) const {
  const at::Tensor valid = detail::valid_pixels("loss", mask, target);
  const auto pixels = static_cast<double>(valid.sum().item<std::int64_t>());
  std::vector<double> counts;
  for (const at::Tensor& level : pyramid) {
    if (options_.light_weight == 0.0) {
      counts.push_back(pixels);
      continue;
    }
    const std::int64_t factor = target.size(-1) / std::max<std::int64_t>(level.size(-1), 1);
    const at::Tensor light = functional::block_mean(target, factor, valid)
                                 .gt(options_.light_threshold)
                                 .to(target.scalar_type());
    const at::Tensor share = functional::block_mean(valid.to(target.scalar_type()), factor);
    counts.push_back((share * (light * options_.light_weight + 1.0)).sum().item<double>());
  }
  counts.push_back(pixels);
  for (const std::string& name : active_extras()) {
    if (name == "ssim") {
      counts.push_back(detail::whole_windows(valid, SsimLossOptions{}.window_size));
    } else if (name == "gradient" || name == "total_variation") {
      counts.push_back(detail::valid_pairs(valid));
    } else {
      counts.push_back(name == "frequency" ? 1.0 : pixels);
    }
  }
  return at::tensor(counts, at::TensorOptions(at::kDouble));
}

}  // namespace deeplight::losses
