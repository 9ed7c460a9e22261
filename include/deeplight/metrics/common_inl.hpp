// Definitions of metrics/common.hpp.
#pragma once

#include <ATen/TensorOperators.h>

#include <cmath>
#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE at::Tensor lit_mask(const at::Tensor& target, double threshold) {
  return target.gt(threshold);
}

namespace detail {

DEEPLIGHT_INLINE void check_pair(const char* metric, const at::Tensor& prediction,
                                 const at::Tensor& target) {
  require(prediction.defined() && target.defined(), metric, ": prediction and target are needed");
  require(prediction.sizes() == target.sizes(), metric, ": prediction is ", prediction.sizes(),
          ", target is ", target.sizes(), "; both must have one shape");
  require(prediction.dim() >= 2, metric, ": images have at least two dimensions [H, W], got ",
          prediction.sizes());
  require(prediction.numel() > 0, metric, ": images must not be empty, got ", prediction.sizes());
  require(!prediction.is_complex() && !target.is_complex(), metric, ": images must be real");
  require(prediction.device() == target.device(), metric, ": prediction is on ",
          prediction.device().str(), ", target on ", target.device().str());
}

DEEPLIGHT_INLINE at::Tensor expand_mask(const char* metric, const char* name,
                                        const at::Tensor& mask, const at::Tensor& image) {
  require(mask.scalar_type() == at::kBool, metric, ": ", name, " must be boolean, got ",
          at::toString(mask.scalar_type()), "; compare first, e.g. ", name, " > 0");
  bool fits = mask.dim() <= image.dim();
  for (std::int64_t i = 1; fits && i <= mask.dim(); ++i) {
    fits = mask.size(-i) == 1 || mask.size(-i) == image.size(-i);
  }
  require(fits, metric, ": ", name, " ", mask.sizes(), " does not broadcast to the image ",
          image.sizes());
  return mask.expand(image.sizes());
}

DEEPLIGHT_INLINE at::Tensor reduce(const at::Tensor& scores, const at::Tensor& count,
                                   Reduction reduction,
                                   const std::vector<std::int64_t>& batch_shape) {
  const at::Tensor empty = count.eq(0);
  if (reduction == Reduction::mean) {
    return scores.masked_fill(empty, 0.0).sum() / empty.logical_not().sum();
  }
  const at::Tensor defined = scores.masked_fill(empty, std::numeric_limits<double>::quiet_NaN());
  if (reduction == Reduction::pooled) return defined.squeeze(0);
  return defined.reshape(batch_shape);
}

DEEPLIGHT_INLINE double check_data_range(const char* metric,
                                         const std::optional<double>& data_range) {
  require(data_range.has_value(), metric,
          ": data_range must be given (255 for 8-bit units, 63 for DMSP-OLS, the sensor's peak for "
          "radiance); it scales the score, and guessing it from the pixels or their type makes "
          "scores of different images incomparable");
  require(std::isfinite(*data_range) && *data_range > 0.0, metric,
          ": data_range must be finite and above 0, got ", *data_range);
  return *data_range;
}

}  // namespace detail
}  // namespace deeplight::metrics
