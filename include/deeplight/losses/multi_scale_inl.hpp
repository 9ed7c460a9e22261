// Definitions of losses/multi_scale.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <numeric>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/block_mean.hpp"
#include "deeplight/losses/multi_scale.hpp"

namespace deeplight::losses {

DEEPLIGHT_INLINE std::vector<double> pyramid_weights(const std::vector<double>& beta,
                                                     std::size_t levels) {
  require(levels >= 1, "multi_scale: the pyramid has no level");
  require(levels <= beta.size(), "multi_scale: the pyramid has ", levels, " levels, beta only ",
          beta.size(), " weights");
  for (const double weight : beta) {
    require(weight >= 0.0, "multi_scale: beta must not be negative, got ", weight);
  }
  std::vector<double> kept(beta.end() - static_cast<std::ptrdiff_t>(levels), beta.end());
  const double sum = std::accumulate(kept.begin(), kept.end(), 0.0);
  require(sum > 0.0, "multi_scale: the last ", levels, " weights of beta sum to 0");
  const double factor = std::accumulate(beta.begin(), beta.end(), 0.0) / sum;
  for (double& weight : kept) weight *= factor;
  return kept;
}

DEEPLIGHT_INLINE MultiScaleTerms multi_scale(const std::vector<at::Tensor>& pyramid,
                                             const at::Tensor& target,
                                             const std::vector<double>& beta,
                                             const PixelLossOptions& options,
                                             const std::optional<at::Tensor>& mask) {
  const std::vector<double> weights = pyramid_weights(beta, pyramid.size());
  std::optional<at::Tensor> valid;
  if (mask) valid = detail::valid_pixels("loss", *mask, target);
  MultiScaleTerms terms;
  for (std::size_t level = 0; level < pyramid.size(); ++level) {
    const at::Tensor& prediction = pyramid[level];
    const std::int64_t factor = prediction.dim() < 2 ? 0 : target.size(-1) / prediction.size(-1);
    require(factor >= 1 && prediction.size(-1) * factor == target.size(-1) &&
                prediction.size(-2) * factor == target.size(-2),
            "multi_scale: level ", level, " is ", prediction.sizes(), ", which does not divide ",
            "the target ", target.sizes(), " by one integer");
    if (factor == 1) {
      terms.levels.push_back(pixel_loss(prediction, target, options, valid));
    } else {
      std::optional<at::Tensor> fraction;
      if (valid) fraction = functional::block_mean(valid->to(target.scalar_type()), factor);
      terms.levels.push_back(
          pixel_loss(prediction, functional::block_mean(target, factor, valid), options, fraction));
    }
    const at::Tensor share = terms.levels.back() * weights[level];
    terms.total = terms.total.defined() ? terms.total + share : share;
  }
  return terms;
}

}  // namespace deeplight::losses
