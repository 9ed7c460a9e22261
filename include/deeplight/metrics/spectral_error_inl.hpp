// Definitions of metrics/spectral_error.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/fft_rfft2.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/spectral_error.hpp"

namespace deeplight::metrics {
namespace detail {

DEEPLIGHT_INLINE void check_spectral(const SpectralOptions& options) {
  require(options.window_size >= 4 && options.window_size % 2 == 0 && options.window_size <= 4096,
          "spectral_error: window_size must be even and 4 to 4096, got ", options.window_size);
}

/// Hann taper [S, S], periodic, its mean square 1.
DEEPLIGHT_INLINE at::Tensor hann_taper(std::int64_t size, at::Device device) {
  const at::Tensor line =
      0.5 - 0.5 * (at::arange(size, at::kDouble) * (2.0 * std::numbers::pi / size)).cos();
  const at::Tensor square = line.unsqueeze(1) * line.unsqueeze(0);
  return (square / square.square().mean().sqrt()).to(device);
}

/// Weights of the half spectrum [K, S * (S / 2 + 1)]: the mean over each ring.
DEEPLIGHT_INLINE at::Tensor ring_weights(std::int64_t size, at::Device device) {
  const std::int64_t half = size / 2, wide = half + 1;
  at::Tensor weights = at::zeros({half, size * wide}, at::kDouble);
  double* out = weights.data_ptr<double>();
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t v = i <= half ? i : i - size;
    for (std::int64_t u = 0; u < wide; ++u) {
      const auto ring = static_cast<std::int64_t>(
          std::floor(std::sqrt(static_cast<double>(u * u + v * v)) + 0.5));
      // The half that is not stored mirrors all columns but the first and the last.
      if (ring >= 1 && ring <= half) {
        out[(ring - 1) * size * wide + i * wide + u] = u == 0 || u == half ? 1.0 : 2.0;
      }
    }
  }
  return (weights / weights.sum({1}, true)).to(device);
}

/// [N, H, W] -> [N, h, w, S, S], a view.
DEEPLIGHT_INLINE at::Tensor half_overlapping(const at::Tensor& planes, std::int64_t size) {
  return planes.unfold(1, size, size / 2).unfold(2, size, size / 2);
}

/// Sums over the windows of every plane, for one image: ring powers, mean squares; [N, K + 1].
DEEPLIGHT_INLINE at::Tensor spectral_sums(const at::Tensor& planes, const at::Tensor& keep,
                                          const at::Tensor& taper, const at::Tensor& rings) {
  const std::int64_t size = taper.size(0);
  const at::Tensor windows = half_overlapping(planes, size);
  const std::int64_t number = windows.size(0), high = windows.size(1), wide = windows.size(2);
  // Some MiB of windows at a time, whatever the image's size.
  const std::int64_t together = std::max<std::int64_t>(1, (1 << 20) / (wide * size * size));
  std::vector<at::Tensor> chunks;
  for (std::int64_t first = 0; first < number; first += together) {
    const std::int64_t some = std::min(together, number - first);
    at::Tensor power, squares;
    for (std::int64_t i = 0; i < high; ++i) {
      const at::Tensor part = windows.narrow(0, first, some).select(1, i);
      const at::Tensor dropped =
          keep.narrow(0, first, some).select(1, i).unsqueeze(-1).unsqueeze(-1).logical_not();
      const at::Tensor level = (part - part.mean({-2, -1}, true)) * taper;
      const at::Tensor spectrum = at::view_as_real(at::fft_rfft2(level)).square().sum(-1);
      const at::Tensor row = spectrum.masked_fill(dropped, 0.0).sum({1});
      const at::Tensor square = part.square().masked_fill(dropped, 0.0).sum({1, 2, 3});
      power = power.defined() ? power + row : row;
      squares = squares.defined() ? squares + square : square;
    }
    const double pixels = static_cast<double>(size * size);
    const at::Tensor bands = (power.reshape({some, 1, -1}) * rings).sum({-1}) / pixels;
    chunks.push_back(at::cat({bands, (squares / pixels).unsqueeze(-1)}, 1));
  }
  return at::cat(chunks);
}

/// Sums of images [images, 2, K + 2]: prediction and target; band powers, mean squares, windows.
DEEPLIGHT_INLINE at::Tensor spectral_state(const at::Tensor& prediction, const at::Tensor& target,
                                           const SpectralOptions& options, std::int64_t images) {
  const std::int64_t size = options.window_size;
  at::Tensor x = as_planes(prediction).to(at::kDouble), y = as_planes(target).to(at::kDouble);
  at::Tensor keep;
  if (options.mask) {
    const at::Tensor valid =
        as_planes(expand_mask("spectral_error", "mask", *options.mask, prediction));
    x = x.masked_fill(valid.logical_not(), 0.0);
    y = y.masked_fill(valid.logical_not(), 0.0);
    keep = half_overlapping(valid, size).flatten(-2).all(-1);
  }
  if (options.where) {
    const at::Tensor chosen =
        as_planes(expand_mask("spectral_error", "where", *options.where, prediction));
    const at::Tensor held = half_overlapping(chosen, size).flatten(-2).any(-1);
    keep = keep.defined() ? keep.logical_and(held) : held;
  }
  const std::int64_t high = x.size(1) / (size / 2) - 1, wide = x.size(2) / (size / 2) - 1;
  if (!keep.defined()) keep = at::ones({x.size(0), high, wide}, x.options().dtype(at::kBool));
  const at::Tensor taper = hann_taper(size, x.device()), rings = ring_weights(size, x.device());
  const at::Tensor count = keep.sum({1, 2}, false, at::kDouble).unsqueeze(-1);
  const auto side = [&](const at::Tensor& planes) {
    return at::cat({spectral_sums(planes, keep, taper, rings), count}, 1);
  };
  const at::Tensor state = at::stack({side(x), side(y)}, 1);
  return state.reshape({images, -1, 2, size / 2 + 2}).sum(1);
}

/// Scores [N] of states [N, 2, K + 2].
DEEPLIGHT_INLINE at::Tensor spectral_score(const at::Tensor& state, SpectralStatistic statistic) {
  const std::int64_t bands = state.size(2) - 2;
  const at::Tensor count = state.select(2, bands + 1).select(1, 0);
  const at::Tensor power = state.narrow(2, 0, bands) / count.reshape({-1, 1, 1});
  // What subtraction of the mean and the transform leave of nothing is nothing.
  const at::Tensor least = state.select(2, bands).sum({1}, true) / count.unsqueeze(1) * 0x1p-80;
  const at::Tensor p = power.select(1, 0), t = power.select(1, 1);
  const at::Tensor no_p = p.le(least), no_t = t.le(least);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (statistic == SpectralStatistic::relative) {
    const at::Tensor errors = (p - t).abs() / t.masked_fill(no_t, 1.0);
    return errors.masked_fill(no_t, infinity).masked_fill(no_t.logical_and(no_p), 0.0).mean({1});
  }
  const at::Tensor undefined = no_p.logical_or(no_t);
  const at::Tensor ratio = p.masked_fill(undefined, 1.0) / t.masked_fill(undefined, 1.0);
  const at::Tensor squares = (ratio.log10() * 10.0)
                                 .square()
                                 .masked_fill(undefined, infinity)
                                 .masked_fill(no_t.logical_and(no_p), 0.0)
                                 .mean({1});
  // A distance of 0 has no slope.
  const at::Tensor zero = squares.eq(0.0);
  return squares.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0);
}

DEEPLIGHT_INLINE void check_spectral_pair(const at::Tensor& prediction, const at::Tensor& target,
                                          const SpectralOptions& options) {
  check_pair("spectral_error", prediction, target);
  check_spectral(options);
  require(options.reduction != Reduction::map, "spectral_error: there is no map");
  const std::int64_t size = options.window_size;
  require(prediction.size(-1) >= size && prediction.size(-2) >= size,
          "spectral_error: images must be at least ", size, "x", size, " pixels, the window, got ",
          prediction.size(-2), "x", prediction.size(-1), "; give a smaller window_size");
}

}  // namespace detail

DEEPLIGHT_INLINE SpectralBands spectral_bands(const at::Tensor& prediction,
                                              const at::Tensor& target,
                                              const SpectralOptions& options) {
  detail::check_spectral_pair(prediction, target, options);
  require(options.reduction == Reduction::none || options.reduction == Reduction::pooled,
          "spectral_bands: reduction must be none or pooled");
  const detail::ImageBatch batch = detail::image_batch(prediction, options.reduction);
  const at::Tensor state = detail::spectral_state(prediction, target, options, batch.images);
  const std::int64_t bands = options.window_size / 2;
  const at::Tensor power = state.narrow(2, 0, bands) / state.select(2, bands + 1).unsqueeze(-1);
  std::vector<std::int64_t> shape = batch.shape;
  if (options.reduction == Reduction::pooled) shape.clear();
  shape.push_back(bands);
  return {at::arange(1, bands + 1, at::kDouble) / static_cast<double>(options.window_size),
          power.select(1, 0).reshape(shape), power.select(1, 1).reshape(shape)};
}

DEEPLIGHT_INLINE at::Tensor spectral_error(const at::Tensor& prediction, const at::Tensor& target,
                                           const SpectralOptions& options) {
  detail::check_spectral_pair(prediction, target, options);
  const detail::ImageBatch batch = detail::image_batch(prediction, options.reduction);
  const at::Tensor state = detail::spectral_state(prediction, target, options, batch.images);
  const at::Tensor count = state.select(2, options.window_size / 2 + 1).select(1, 0);
  return detail::reduce(detail::spectral_score(state, options.statistic), count.detach(),
                        options.reduction, batch.shape);
}

DEEPLIGHT_INLINE SpectralAccumulator::SpectralAccumulator(SpectralOptions options)
    : options_(std::move(options)) {
  detail::check_spectral(options_);
  options_.mask.reset();
  options_.where.reset();
  reset();
}

DEEPLIGHT_INLINE void SpectralAccumulator::update(const at::Tensor& prediction,
                                                  const at::Tensor& target,
                                                  const std::optional<at::Tensor>& mask,
                                                  const std::optional<at::Tensor>& where) {
  detail::check_pair("spectral_error", prediction, target);
  if (prediction.size(-1) < options_.window_size || prediction.size(-2) < options_.window_size) {
    return;
  }
  SpectralOptions options = options_;
  options.mask = mask;
  options.where = where;
  const at::NoGradGuard no_gradients;
  merge_state(detail::spectral_state(prediction.detach(), target.detach(), options, 1).squeeze(0));
}

DEEPLIGHT_INLINE void SpectralAccumulator::merge_state(const at::Tensor& state) {
  require(state.defined() && state.scalar_type() == at::kDouble && state.sizes() == state_.sizes(),
          "spectral_error: a state is float64 ", state_.sizes());
  state_ = state_.to(state.device()) + state;
}

DEEPLIGHT_INLINE double SpectralAccumulator::compute() const {
  return detail::spectral_score(state_.unsqueeze(0), options_.statistic).item<double>();
}

DEEPLIGHT_INLINE std::int64_t SpectralAccumulator::count() const {
  return static_cast<std::int64_t>(state_[0][-1].item<double>());
}

DEEPLIGHT_INLINE void SpectralAccumulator::reset() {
  state_ = at::zeros({2, options_.window_size / 2 + 2}, at::kDouble);
}

}  // namespace deeplight::metrics
