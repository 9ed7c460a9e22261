// What every score shares: reductions, shape checks, validity masks.
//
// Shapes: an image is the last three dimensions [C, H, W] of a tensor of four or more, and the
// whole of a tensor of two ([H, W]) or three ([C, H, W]); everything before is batch. A mask is
// boolean and broadcasts to the prediction's shape ([B, 1, H, W], [H, W], ...); true marks a valid
// pixel.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight::metrics {

/// How the images of a batch become one value.
enum class Reduction {
  mean,    ///< mean of the images' scores; an image without a valid pixel has no vote
  none,    ///< one score per image, in the batch's shape; NaN without a valid pixel
  pooled,  ///< one score over the pixels of all images together
  map,     ///< one value per pixel or window, NaN where it is invalid; only where a score is a mean
};
DEEPLIGHT_ENUM(Reduction, {{Reduction::mean, "mean"},
                           {Reduction::none, "none"},
                           {Reduction::pooled, "pooled"},
                           {Reduction::map, "map"}})

/// Options of scores that need no data range.
struct Options {
  std::optional<at::Tensor> mask = {};  ///< valid pixels; the others might as well not exist
  Reduction reduction = Reduction::mean;
};

/// Pixels that carry light in the truth: target > threshold.
/// @param target     any shape
/// @param threshold  in the target's units; lit means strictly brighter
/// @return  boolean, the target's shape; the `mask` of a lit score, the `where` of a lit SSIM
at::Tensor lit_mask(const at::Tensor& target, double threshold = 0.0);

namespace detail {

/// Number of trailing dimensions that form an image.
inline std::int64_t image_dimensions(const at::Tensor& tensor) {
  return tensor.dim() < 3 ? tensor.dim() : 3;
}

/// Raises unless both are real tensors of one shape with at least two dimensions and one pixel.
void check_pair(const char* metric, const at::Tensor& prediction, const at::Tensor& target);

/// The mask expanded to `image`'s shape. @throws InvalidArgument  not boolean, or another shape
at::Tensor expand_mask(const char* metric, const char* name, const at::Tensor& mask,
                       const at::Tensor& image);

/// Scores [N] with their counts [N] under a reduction; NaN where the count is zero.
at::Tensor reduce(const at::Tensor& scores, const at::Tensor& count, Reduction reduction,
                  const std::vector<std::int64_t>& batch_shape);

/// The data range, which is never guessed. @throws InvalidArgument  absent, not finite or not > 0
double check_data_range(const char* metric, const std::optional<double>& data_range);

}  // namespace detail
}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/common_inl.hpp"
#endif
