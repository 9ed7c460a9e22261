// Definitions of metrics/window.hpp.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/TensorSubclassLikeUtils.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/reflection_pad2d.h>

#include <cmath>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/window.hpp"

namespace deeplight::metrics::detail {

DEEPLIGHT_INLINE void check_image(const char* metric, const at::Tensor& image) {
  require(image.defined(), metric, ": an image is needed");
  require(image.dim() >= 2, metric, ": images have at least two dimensions [H, W], got ",
          image.sizes());
  require(image.numel() > 0, metric, ": images must not be empty, got ", image.sizes());
  require(!image.is_complex(), metric, ": images must be real");
}

DEEPLIGHT_INLINE ImageBatch image_batch(const at::Tensor& image, Reduction reduction) {
  ImageBatch batch;
  for (std::int64_t i = 0; i < image.dim() - image_dimensions(image); ++i) {
    batch.shape.push_back(image.size(i));
    batch.images *= image.size(i);
  }
  if (reduction == Reduction::pooled) batch.images = 1;
  return batch;
}

DEEPLIGHT_INLINE void check_window(const WindowRule& rule, const at::Tensor& image) {
  const char* metric = rule.metric;
  const bool reflect = rule.padding == WindowPadding::reflect;
  require(rule.size >= 1, metric, ": window_size must be at least 1, got ", rule.size);
  require(rule.size % 2 == 1 || (rule.shape == WindowShape::uniform && !reflect), metric,
          ": window_size must be odd and at least 1, got ", rule.size);
  require(std::isfinite(rule.sigma) && rule.sigma > 0.0, metric, ": sigma must be above 0, got ",
          rule.sigma);
  const std::int64_t least = reflect ? rule.size / 2 + 1 : rule.size;
  require(image.size(-1) >= least && image.size(-2) >= least, metric, ": images must be at least ",
          least, "x", least, " pixels, ", reflect ? "more than the mirrored border" : "the window",
          ", got ", image.size(-2), "x", image.size(-1));
}

DEEPLIGHT_INLINE bool kernels_apply(const at::Tensor& a, const at::Tensor& b) {
  const auto plain = [](const at::Tensor& t) {
    return t.device().is_cpu() && t.layout() == at::kStrided && !at::isTensorSubclassLike(t) &&
           !t.is_quantized() && !t.is_neg() && !t._fw_grad(0).defined();
  };
  const bool wanted = at::GradMode::is_enabled() && (a.requires_grad() || b.requires_grad());
  return !wanted && plain(a) && plain(b);
}

DEEPLIGHT_INLINE at::Tensor as_planes(const at::Tensor& tensor) {
  return tensor.reshape({-1, tensor.size(-2), tensor.size(-1)});
}

template <class T>
kernels::Plane strided_plane(const at::Tensor& plane, std::int64_t border) {
  return kernels::Plane::of(plane.const_data_ptr<T>(), plane.size(0), plane.size(1),
                            plane.stride(0), plane.stride(1), border);
}

DEEPLIGHT_INLINE kernels::Plane plane_of(const at::Tensor& planes, std::int64_t index,
                                         std::int64_t border) {
  const at::Tensor plane = planes.select(0, index);
  // Satellite products come in unsigned 16 bit; the macro's "all types" are older than these.
  const at::ScalarType type = plane.scalar_type();
  if (type == at::kUInt16) return strided_plane<std::uint16_t>(plane, border);
  if (type == at::kUInt32) return strided_plane<std::uint32_t>(plane, border);
  if (type == at::kUInt64) return strided_plane<std::uint64_t>(plane, border);
  kernels::Plane result;
  AT_DISPATCH_ALL_TYPES_AND3(at::kHalf, at::kBFloat16, at::kBool, type, "deeplight metrics",
                             [&] { result = strided_plane<scalar_t>(plane, border); });
  return result;
}

DEEPLIGHT_INLINE kernels::MaskPlane mask_plane_of(const at::Tensor& planes, std::int64_t index,
                                                  std::int64_t border) {
  if (!planes.defined()) return {};
  const at::Tensor plane = planes.select(0, index);
  return {plane.const_data_ptr<bool>(),
          plane.size(0),
          plane.size(1),
          plane.stride(0),
          plane.stride(1),
          border};
}

DEEPLIGHT_INLINE at::Tensor empty_map(const WindowRule& rule, const at::Tensor& image) {
  std::vector<std::int64_t> shape = image.sizes().vec();
  for (std::size_t i = shape.size() - 2; i < shape.size(); ++i) {
    shape[i] += 2 * rule.border() - rule.size + 1;
  }
  return at::empty(shape, at::kDouble);
}

DEEPLIGHT_INLINE at::Tensor reduce_windows(const WindowSums& sums, const at::Tensor& image,
                                           Reduction reduction) {
  const auto [images, batch_shape] = image_batch(image, reduction);
  const std::int64_t per_image = static_cast<std::int64_t>(sums.sums.size()) / images;
  at::Tensor scores = at::empty({images}, at::kDouble), count = at::empty({images}, at::kDouble);
  for (std::int64_t i = 0; i < images; ++i) {
    WindowMean mean;
    for (std::int64_t k = i * per_image; k < (i + 1) * per_image; ++k) {
      mean.add(sums.sums[k], sums.counts[k]);
    }
    scores.data_ptr<double>()[i] = mean.compute();
    count.data_ptr<double>()[i] = static_cast<double>(mean.count());
  }
  return reduce(scores, count, reduction, batch_shape);
}

DEEPLIGHT_INLINE at::Tensor reduce_map(const at::Tensor& values, const at::Tensor& counted,
                                       const at::Tensor& image, Reduction reduction) {
  const auto [images, batch_shape] = image_batch(image, reduction);
  at::Tensor rows = values.reshape({images, -1});
  at::Tensor count = rows.new_full({images}, static_cast<double>(rows.size(1)));
  if (counted.defined()) {
    const at::Tensor chosen = counted.reshape({images, -1});
    rows = rows.masked_fill(chosen.logical_not(), 0.0);
    count = chosen.sum({1}, false, at::kDouble);
  }
  return reduce(rows.sum({1}) / count, count, reduction, batch_shape);
}

DEEPLIGHT_INLINE at::Tensor bordered(const WindowRule& rule, const at::Tensor& image) {
  const std::int64_t border = rule.border();
  if (border == 0) return image;
  std::vector<std::int64_t> shape = image.sizes().vec();
  const at::Tensor padded =
      at::reflection_pad2d(as_planes(image), {border, border, border, border});
  shape[shape.size() - 2] = padded.size(-2);
  shape[shape.size() - 1] = padded.size(-1);
  return padded.reshape(shape);
}

// Shifted slices instead of a convolution: no unfolded copy, any real type, twice differentiable.
DEEPLIGHT_INLINE at::Tensor filter_valid(const at::Tensor& image,
                                         const std::vector<double>& weights) {
  at::Tensor filtered = image;
  const auto size = static_cast<std::int64_t>(weights.size());
  for (const std::int64_t dimension : {-2, -1}) {
    const at::Tensor input = filtered;
    const std::int64_t length = input.size(dimension) - size + 1;
    filtered = input.narrow(dimension, 0, length) * weights[0];
    for (std::int64_t i = 1; i < size; ++i) {
      filtered = filtered.add(input.narrow(dimension, i, length), weights[i]);
    }
  }
  return filtered;
}

DEEPLIGHT_INLINE at::Tensor windows_all_valid(const at::Tensor& valid, std::int64_t size) {
  at::Tensor whole = valid;
  for (const std::int64_t dimension : {-2, -1}) {
    const at::Tensor input = whole;
    const std::int64_t length = input.size(dimension) - size + 1;
    whole = input.narrow(dimension, 0, length);
    for (std::int64_t i = 1; i < size; ++i) {
      whole = whole.logical_and(input.narrow(dimension, i, length));
    }
  }
  return whole;
}

DEEPLIGHT_INLINE at::Tensor window_centres(const WindowRule& rule, const at::Tensor& where) {
  if (rule.padding == WindowPadding::reflect) return where;
  const std::int64_t offset = rule.size / 2;
  return where.narrow(-2, offset, where.size(-2) - rule.size + 1)
      .narrow(-1, offset, where.size(-1) - rule.size + 1);
}

DEEPLIGHT_INLINE WindowMoments window_moments(const WindowRule& rule, const at::Tensor& prediction,
                                              const at::Tensor& target,
                                              const std::optional<at::Tensor>& mask,
                                              const std::optional<at::Tensor>& where) {
  at::Tensor x = prediction.to(at::kDouble), y = target.to(at::kDouble);
  WindowMoments moments;
  if (mask) {
    const at::Tensor valid = expand_mask(rule.metric, "mask", *mask, prediction);
    x = x.masked_fill(valid.logical_not(), 0.0);
    y = y.masked_fill(valid.logical_not(), 0.0);
    const at::Tensor framed =
        rule.border() == 0 ? valid : bordered(rule, valid.to(at::kDouble)).gt(0.5);
    moments.counted = windows_all_valid(framed, rule.size);
  }
  if (where) {
    const at::Tensor centres =
        window_centres(rule, expand_mask(rule.metric, "where", *where, prediction));
    moments.counted = moments.counted.defined() ? moments.counted.logical_and(centres) : centres;
  }
  x = bordered(rule, x);
  y = bordered(rule, y);
  const kernels::MomentWindow window = rule.moments();
  const std::vector<double> weights =
      window.taps.empty() ? std::vector<double>(static_cast<std::size_t>(rule.size),
                                                1.0 / static_cast<double>(rule.size))
                          : window.taps;
  moments.mean_x = filter_valid(x, weights);
  moments.mean_y = filter_valid(y, weights);
  moments.squares = filter_valid(x * x + y * y, weights);
  moments.product = filter_valid(x * y, weights);
  return moments;
}

}  // namespace deeplight::metrics::detail
