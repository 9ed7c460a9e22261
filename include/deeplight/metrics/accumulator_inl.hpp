// Definitions of metrics/accumulator.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "deeplight/metrics/accumulator.hpp"

namespace deeplight::metrics::detail {

// Temporaries of a part stay in the second-level cache; a call costs little beside its pixels.
inline constexpr std::int64_t pixels_per_part = std::int64_t{1} << 17;

DEEPLIGHT_INLINE std::vector<std::int64_t> batch_shape(const at::Tensor& image) {
  const auto sizes = image.sizes();
  return {sizes.begin(), sizes.end() - image_dimensions(image)};
}

DEEPLIGHT_INLINE void for_each_part(const char* metric, const at::Tensor& prediction,
                                    const at::Tensor& target, const std::optional<at::Tensor>& mask,
                                    const std::optional<at::Tensor>& zones, bool pooled,
                                    const std::function<void(const Part&)>& visit) {
  check_pair(metric, prediction, target);
  const std::int64_t height = prediction.size(-2), width = prediction.size(-1);
  const std::int64_t bands = prediction.dim() < 3 ? 1 : prediction.size(-3);
  const std::int64_t images = prediction.numel() / (bands * height * width);
  const auto as_images = [&](const at::Tensor& tensor) {
    return tensor.reshape({images, bands, height, width});
  };
  const at::Tensor x = as_images(prediction), y = as_images(target);
  at::Tensor valid, labels;
  if (mask) valid = as_images(expand_mask(metric, "mask", *mask, prediction));
  if (zones) labels = as_images(*zones);

  const auto rows = [&](const at::Tensor& part) {
    if (!pooled || images == 1) return part.reshape({images, bands, -1});
    return part.transpose(0, 1).reshape({1, bands, -1});
  };
  // Cut the longer side, so that a single row of a thousand million pixels is cut as well.
  const int dimension = height >= width ? 2 : 3;
  const std::int64_t length = std::max(height, width);
  const std::int64_t step =
      std::max<std::int64_t>(1, pixels_per_part / std::max<std::int64_t>(1, x.numel() / length));
  for (std::int64_t start = 0; start < length; start += step) {
    const std::int64_t size = std::min(step, length - start);
    const auto cut = [&](const at::Tensor& tensor) {
      return rows(tensor.narrow(dimension, start, size));
    };
    Part part{cut(x).to(at::kDouble), cut(y).to(at::kDouble), {}, {}};
    if (valid.defined()) {
      part.valid = cut(valid);
      const at::Tensor invalid = part.valid.logical_not();
      part.prediction = part.prediction.masked_fill(invalid, 0.0);
      part.target = part.target.masked_fill(invalid, 0.0);
    }
    if (labels.defined()) part.zones = cut(labels);
    visit(part);
  }
}

// A full reduction to one number is split among threads and its last bits depend on their number; a
// reduction to many numbers is not.
DEEPLIGHT_INLINE at::Tensor pixel_sum(const at::Tensor& values) {
  constexpr std::int64_t run = 1024;
  const std::int64_t pixels = values.size(2), whole = pixels / run;
  if (whole == 0) return values.sum({2});
  const at::Tensor sums = values.narrow(2, 0, whole * run)
                              .reshape({values.size(0), values.size(1), whole, run})
                              .sum({3})
                              .sum({2});
  if (whole * run == pixels) return sums;
  return sums + values.narrow(2, whole * run, pixels - whole * run).sum({2});
}

DEEPLIGHT_INLINE at::Tensor row_sum(const at::Tensor& values) {
  return pixel_sum(values).sum({1});
}

DEEPLIGHT_INLINE at::Tensor row_count(const Part& part) {
  if (part.valid.defined()) return part.valid.sum({1, 2}, false, at::kDouble);
  const auto count = static_cast<double>(part.target.size(1) * part.target.size(2));
  return at::full({part.target.size(0)}, count, part.target.options());
}

DEEPLIGHT_INLINE at::Tensor new_sums(const at::Tensor& sums) {
  return at::stack({sums, at::zeros_like(sums)}, -1);
}

DEEPLIGHT_INLINE at::Tensor merge_sums(const at::Tensor& first, const at::Tensor& second) {
  const at::Tensor a = first.select(-1, 0), b = second.select(-1, 0);
  const at::Tensor sum = a + b;
  const at::Tensor rounded = sum - a;
  const at::Tensor lost = (a - (sum - rounded)) + (b - rounded);
  // Infinity minus infinity must not turn an infinite sum into NaN.
  const at::Tensor kept = lost.masked_fill(sum.isfinite().logical_not(), 0.0);
  return at::stack({sum, first.select(-1, 1) + second.select(-1, 1) + kept}, -1);
}

DEEPLIGHT_INLINE at::Tensor total(const at::Tensor& sums) {
  return sums.select(-1, 0) + sums.select(-1, 1);
}

DEEPLIGHT_INLINE at::Tensor sum_at(const at::Tensor& state, std::int64_t index) {
  return total(state.select(1, index));
}

DEEPLIGHT_INLINE at::Tensor zeros(at::IntArrayRef shape) {
  return at::zeros(shape, at::kDouble);
}

DEEPLIGHT_INLINE at::Tensor sum_state(const std::vector<at::Tensor>& sums) {
  return new_sums(at::stack(sums, -1));
}

DEEPLIGHT_INLINE at::Tensor safe_sqrt(const at::Tensor& values) {
  const at::Tensor zero = values.eq(0);
  return values.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0);
}

DEEPLIGHT_INLINE at::Tensor nan_where_empty(const at::Tensor& scores, const at::Tensor& count) {
  return scores.masked_fill(count.eq(0), std::numeric_limits<double>::quiet_NaN());
}

DEEPLIGHT_INLINE at::Tensor masked_map(const char* metric, const at::Tensor& values,
                                       const std::optional<at::Tensor>& mask) {
  if (!mask) return values;
  return values.masked_fill(expand_mask(metric, "mask", *mask, values).logical_not(),
                            std::numeric_limits<double>::quiet_NaN());
}

DEEPLIGHT_INLINE void throw_no_map(const char* metric) {
  throw InvalidArgument(concat(metric,
                               ": it is no mean over pixels and has no map; reduction 'map' is for "
                               "mae, bias, sam over bands, ssim and uiqi"));
}

}  // namespace deeplight::metrics::detail
