// Definitions of metrics/sharpness.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/sharpness.hpp"

namespace deeplight::metrics {
namespace detail {

/// [N, H, W] on the CPU, ready for kernels.
DEEPLIGHT_INLINE at::Tensor kernel_planes(const at::Tensor& tensor) {
  return as_planes(tensor.detach()).to(at::kCPU).resolve_neg();
}

DEEPLIGHT_INLINE at::Tensor kernel_mask(const char* metric, const char* name,
                                        const std::optional<at::Tensor>& mask,
                                        const at::Tensor& image) {
  if (!mask) return {};
  return as_planes(expand_mask(metric, name, *mask, image)).to(at::kCPU);
}

DEEPLIGHT_INLINE LocalSums local_sums(const char* metric, const at::Tensor& image,
                                      const std::optional<at::Tensor>& other,
                                      const LocalOptions& options, kernels::LocalOperator op,
                                      bool absolute, double weight, bool map) {
  check_image(metric, image);
  const at::Tensor x = kernel_planes(image), y = other ? kernel_planes(*other) : at::Tensor();
  const at::Tensor valid = kernel_mask(metric, "mask", options.mask, image);
  const at::Tensor where = kernel_mask(metric, "where", options.where, image);
  const std::int64_t lost = kernels::local_size(op) - 1, planes = x.size(0);
  const std::int64_t high = std::max<std::int64_t>(x.size(1) - lost, 0);
  const std::int64_t wide = std::max<std::int64_t>(x.size(2) - lost, 0);
  LocalSums result;
  if (map) {
    std::vector<std::int64_t> shape = image.sizes().vec();
    shape[shape.size() - 2] = high;
    shape[shape.size() - 1] = wide;
    result.map = at::empty(shape, at::kDouble);
  }
  std::vector<double> row_sums(static_cast<std::size_t>(planes * high), 0.0);
  std::vector<double> row_squares(row_sums.size(), 0.0);
  std::vector<std::int64_t> row_counts(row_sums.size(), 0);
  std::vector<kernels::LocalJob> jobs;
  for (std::int64_t i = 0; i < planes; ++i) {
    kernels::LocalJob job{.x = plane_of(x, i), .pair = y.defined()};
    if (job.pair) job.y = plane_of(y, i);
    job.mask = mask_plane_of(valid, i);
    job.where = mask_plane_of(where, i);
    job.row_sums = row_sums.data() + i * high;
    job.row_squares = row_squares.data() + i * high;
    job.row_counts = row_counts.data() + i * high;
    if (map) job.map = result.map.data_ptr<double>() + i * high * wide;
    jobs.push_back(job);
  }
  if (high > 0 && wide > 0) kernels::local_operator(jobs, op, absolute, weight, AtParallel{});
  for (std::int64_t i = 0; i < planes; ++i) {
    kernels::ExactSum sum, squares;
    std::int64_t count = 0;
    for (std::int64_t row = i * high; row < (i + 1) * high; ++row) {
      sum.add(row_sums[row]);
      squares.add(row_squares[row]);
      count += row_counts[row];
    }
    result.sums.push_back(sum);
    result.squares.push_back(squares);
    result.counts.push_back(count);
  }
  return result;
}

DEEPLIGHT_INLINE at::Tensor reduce_local(const LocalSums& sums, const at::Tensor& image,
                                         Reduction reduction, bool variance) {
  const ImageBatch batch = image_batch(image, reduction);
  const std::int64_t per_image = static_cast<std::int64_t>(sums.sums.size()) / batch.images;
  at::Tensor scores = at::empty({batch.images}, at::kDouble), count = at::empty_like(scores);
  for (std::int64_t i = 0; i < batch.images; ++i) {
    WindowMean mean, squares;
    for (std::int64_t k = i * per_image; k < (i + 1) * per_image; ++k) {
      mean.add(sums.sums[k], sums.counts[k]);
      squares.add(sums.squares[k], sums.counts[k]);
    }
    const double m = mean.compute();
    scores.data_ptr<double>()[i] = variance ? std::max(squares.compute() - m * m, 0.0) : m;
    count.data_ptr<double>()[i] = static_cast<double>(mean.count());
  }
  return reduce(scores, count, reduction, batch.shape).to(image.device());
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor average_gradient(const at::Tensor& image, const LocalOptions& options) {
  const bool map = options.reduction == Reduction::map;
  const detail::LocalSums sums = detail::local_sums(
      "average_gradient", image, {}, options, kernels::LocalOperator::difference, false, 0.5, map);
  return map ? sums.map.to(image.device())
             : detail::reduce_local(sums, image, options.reduction, false);
}

DEEPLIGHT_INLINE at::Tensor laplacian_variance(const at::Tensor& image,
                                               const LocalOptions& options) {
  const bool map = options.reduction == Reduction::map;
  const detail::LocalSums sums = detail::local_sums(
      "laplacian_variance", image, {}, options, kernels::LocalOperator::laplacian, false, 1.0, map);
  return map ? sums.map.to(image.device())
             : detail::reduce_local(sums, image, options.reduction, true);
}

DEEPLIGHT_INLINE at::Tensor entropy(const at::Tensor& image, const EntropyOptions& options) {
  const double range = detail::check_data_range("entropy", options.data_range);
  detail::check_image("entropy", image);
  require(options.bins >= 1 && options.bins <= (1 << 24),
          "entropy: bins must be 1 to 16777216, got ", options.bins);
  require(options.reduction != Reduction::map, "entropy: one value per image, there is no map");
  const at::Tensor planes = detail::kernel_planes(image);
  const at::Tensor valid = detail::kernel_mask("entropy", "mask", options.mask, image);
  const detail::ImageBatch batch = detail::image_batch(image, options.reduction);
  const std::int64_t per_image = planes.size(0) / batch.images;
  at::Tensor scores = at::empty({batch.images}, at::kDouble), count = at::empty_like(scores);
  double* score = scores.data_ptr<double>();
  double* number = count.data_ptr<double>();
  detail::AtParallel{}(0, batch.images, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::vector<std::int64_t> bins(static_cast<std::size_t>(options.bins), 0);
      std::int64_t unknown = 0;
      for (std::int64_t k = i * per_image; k < (i + 1) * per_image; ++k) {
        unknown += kernels::add_histogram(detail::plane_of(planes, k),
                                          detail::mask_plane_of(valid, k), range, bins);
      }
      std::int64_t pixels = unknown;
      for (const std::int64_t bin : bins) pixels += bin;
      double bits = 0.0;
      for (const std::int64_t bin : bins) {
        const double share = static_cast<double>(bin) / static_cast<double>(pixels);
        if (bin > 0) bits -= share * std::log2(share);
      }
      // A single full bin leaves -0.
      score[i] = unknown > 0 ? std::numeric_limits<double>::quiet_NaN() : std::max(bits, 0.0);
      number[i] = static_cast<double>(pixels);
    }
  });
  return detail::reduce(scores, count, options.reduction, batch.shape).to(image.device());
}

}  // namespace deeplight::metrics
