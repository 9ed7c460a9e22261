// Definitions of metrics/ms_ssim.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/ms_ssim.hpp"
#include "deeplight/metrics/ssim_inl.hpp"

namespace deeplight::metrics {
namespace detail {

/// Calls combine(a, b, c, d) on the four pixels of every block of 2 x 2.
template <class Combine>
at::Tensor halved(const at::Tensor& image, const Combine& combine) {
  const std::int64_t rows = image.size(-2) / 2 * 2, columns = image.size(-1) / 2 * 2;
  const auto part = [&](std::int64_t row, std::int64_t column) {
    return image.slice(-2, row, rows, 2).slice(-1, column, columns, 2);
  };
  return combine(part(0, 0), part(0, 1), part(1, 0), part(1, 1));
}

DEEPLIGHT_INLINE at::Tensor halved_image(const at::Tensor& image) {
  return halved(image, [](const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                          const at::Tensor& d) { return ((a + b) + (c + d)) * 0.25; });
}

DEEPLIGHT_INLINE at::Tensor halved_mask(const at::Tensor& mask) {
  return halved(
      mask, [](const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, const at::Tensor& d) {
        return a.logical_and(b).logical_and(c).logical_and(d);
      });
}

DEEPLIGHT_INLINE at::Tensor halved_where(const at::Tensor& where) {
  return halved(where,
                [](const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                   const at::Tensor& d) { return a.logical_or(b).logical_or(c).logical_or(d); });
}

/// Which images [N] have no window at a scale.
DEEPLIGHT_INLINE at::Tensor without_windows(const SsimOptions& scale, const at::Tensor& mean) {
  at::Tensor counted;
  if (scale.mask) counted = windows_all_valid(*scale.mask, scale.window_size);
  if (scale.where) {
    const at::Tensor centres = window_centres(ssim_rule(scale), *scale.where);
    counted = counted.defined() ? counted.logical_and(centres) : centres;
  }
  if (!counted.defined()) return at::zeros_like(mean, at::kBool);
  return counted.reshape({std::max<std::int64_t>(mean.numel(), 1), -1})
      .any(1)
      .logical_not()
      .reshape(mean.sizes());
}

DEEPLIGHT_INLINE void check_ms_ssim(const MsSsimOptions& options) {
  check_data_range("ms_ssim", options.data_range);
  require(!options.weights.empty() && options.weights.size() < 31,
          "ms_ssim: weights, one per scale, must be 1 to 30, got ", options.weights.size());
  for (const double weight : options.weights) {
    require(std::isfinite(weight) && weight >= 0.0, "ms_ssim: weights must be at least 0, got ",
            weight);
  }
}

DEEPLIGHT_INLINE void check_ms_ssim(const at::Tensor& prediction, const at::Tensor& target,
                                    const MsSsimOptions& options) {
  check_data_range("ms_ssim", options.data_range);
  check_pair("ms_ssim", prediction, target);
  require(options.reduction != Reduction::map, "ms_ssim: there is no one map over several scales");
  check_ms_ssim(options);
  const auto scales = static_cast<std::int64_t>(options.weights.size());
  const std::int64_t least = options.window_size << (scales - 1);
  require(std::min(prediction.size(-1), prediction.size(-2)) >= least, "ms_ssim: ", scales,
          " scales need images of at least ", least, "x", least,
          " pixels (window_size x 2^(scales - 1)), got ", prediction.size(-2), "x",
          prediction.size(-1), "; give fewer weights");
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor ms_ssim(const at::Tensor& prediction, const at::Tensor& target,
                                    const MsSsimOptions& options) {
  detail::check_ms_ssim(prediction, target, options);
  const bool pooled = options.reduction == Reduction::pooled;
  SsimOptions scale{.data_range = options.data_range,
                    .reduction = pooled ? Reduction::pooled : Reduction::none,
                    .window_size = options.window_size,
                    .sigma = options.sigma,
                    .k1 = options.k1,
                    .k2 = options.k2};
  at::Tensor x = prediction, y = target;
  if (options.mask) {
    const at::Tensor valid = detail::expand_mask("ms_ssim", "mask", *options.mask, prediction);
    scale.mask = valid;
    // NaN behind the mask must not reach a gradient.
    x = x.to(at::kDouble).masked_fill(valid.logical_not(), 0.0);
    y = y.to(at::kDouble).masked_fill(valid.logical_not(), 0.0);
  }
  if (options.where) {
    scale.where = detail::expand_mask("ms_ssim", "where", *options.where, prediction);
  }
  at::Tensor product, empty;
  for (std::size_t i = 0; i < options.weights.size(); ++i) {
    const bool last = i + 1 == options.weights.size();
    at::Tensor mean = detail::ssim_or_contrast(x, y, scale, last);
    // Without a window there is no value, and no vote; a NaN among valid pixels is another matter.
    const at::Tensor missing = detail::without_windows(scale, mean);
    empty = empty.defined() ? empty.logical_or(missing) : missing;
    // A power of 0 or less has no slope; such a scale gives 0 without a gradient.
    const at::Tensor dark = mean.le(0.0);
    at::Tensor factor = mean.masked_fill(dark.logical_or(missing), 1.0)
                            .pow(options.weights[i])
                            .masked_fill(dark, options.weights[i] == 0.0 ? 1.0 : 0.0);
    if (options.negative == NegativeScale::nan) {
      factor = factor.masked_fill(mean.lt(0.0), std::numeric_limits<double>::quiet_NaN());
    }
    product = product.defined() ? product * factor : factor;
    if (last) break;
    x = detail::halved_image(x.to(at::kDouble));
    y = detail::halved_image(y.to(at::kDouble));
    if (scale.mask) scale.mask = detail::halved_mask(*scale.mask);
    if (scale.where) scale.where = detail::halved_where(*scale.where);
  }
  const at::Tensor count = empty.logical_not().to(at::kDouble).reshape({-1});
  return detail::reduce(product.reshape({-1}), count, options.reduction,
                        detail::image_batch(prediction, options.reduction).shape);
}

DEEPLIGHT_INLINE MsSsimAccumulator::MsSsimAccumulator(MsSsimOptions options)
    : options_(std::move(options)), scales_(options_.weights.size()) {
  detail::check_ms_ssim(options_);
  options_.mask.reset();
  options_.where.reset();
}

DEEPLIGHT_INLINE void MsSsimAccumulator::add(std::size_t scale, const at::Tensor& prediction,
                                             const at::Tensor& target,
                                             const std::optional<at::Tensor>& mask,
                                             const std::optional<at::Tensor>& where) {
  if (std::min(prediction.size(-2), prediction.size(-1)) < options_.window_size) return;
  SsimOptions ssim{.data_range = options_.data_range,
                   .mask = mask,
                   .where = where,
                   .window_size = options_.window_size,
                   .sigma = options_.sigma,
                   .k1 = options_.k1,
                   .k2 = options_.k2};
  detail::check_ssim(prediction, target, ssim);
  const detail::WindowSums sums =
      detail::ssim_sums(prediction, target, ssim, scale + 1 == scales_.size(), {});
  for (std::size_t i = 0; i < sums.sums.size(); ++i) {
    scales_[scale].add(sums.sums[i], sums.counts[i]);
  }
}

DEEPLIGHT_INLINE void MsSsimAccumulator::update(const at::Tensor& prediction,
                                                const at::Tensor& target,
                                                const std::optional<at::Tensor>& mask,
                                                const std::optional<at::Tensor>& where) {
  detail::check_ms_ssim(prediction, target, options_);
  const auto plain = [](const at::Tensor& image) {
    return image.detach().to(at::kCPU, at::kDouble);
  };
  at::Tensor x = plain(prediction), y = plain(target);
  std::optional<at::Tensor> valid, centres;
  if (mask) valid = detail::expand_mask("ms_ssim", "mask", *mask, prediction).to(at::kCPU);
  if (where) centres = detail::expand_mask("ms_ssim", "where", *where, prediction).to(at::kCPU);
  for (std::size_t i = 0; i < scales_.size(); ++i) {
    add(i, x, y, valid, centres);
    if (i + 1 == scales_.size()) break;
    x = detail::halved_image(x);
    y = detail::halved_image(y);
    if (valid) valid = detail::halved_mask(*valid);
    if (centres) centres = detail::halved_where(*centres);
  }
}

DEEPLIGHT_INLINE void MsSsimAccumulator::merge(const MsSsimAccumulator& other) {
  require(other.scales_.size() == scales_.size(), "ms_ssim: ", other.scales_.size(),
          " scales cannot be added to ", scales_.size());
  for (std::size_t i = 0; i < scales_.size(); ++i) scales_[i].merge(other.scales_[i]);
}

DEEPLIGHT_INLINE double MsSsimAccumulator::compute() const {
  double product = 1.0;
  for (std::size_t i = 0; i < scales_.size(); ++i) {
    const double mean = scales_[i].compute();
    if (std::isnan(mean) || (mean < 0.0 && options_.negative == NegativeScale::nan)) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    product *= std::pow(std::max(mean, 0.0), options_.weights[i]);
  }
  return product;
}

DEEPLIGHT_INLINE std::vector<double> MsSsimAccumulator::state() const {
  std::vector<double> state;
  for (const WindowMean& scale : scales_) {
    for (const double value : scale.state()) state.push_back(value);
  }
  return state;
}

DEEPLIGHT_INLINE void MsSsimAccumulator::load_state(const std::vector<double>& state) {
  require(state.size() == 3 * scales_.size(), "ms_ssim: a state has ", 3 * scales_.size(),
          " numbers, got ", state.size());
  for (std::size_t i = 0; i < scales_.size(); ++i) {
    scales_[i].load_state({state[3 * i], state[3 * i + 1], state[3 * i + 2]});
  }
}

DEEPLIGHT_INLINE MsSsimRows::Rows MsSsimRows::Rows::part(std::int64_t first,
                                                         std::int64_t count) const {
  Rows rows{prediction.narrow(-2, first, count).clone(),
            target.narrow(-2, first, count).clone(),
            mask.narrow(-2, first, count).clone(),
            {}};
  if (where) rows.where = where->narrow(-2, first, count).clone();
  return rows;
}

DEEPLIGHT_INLINE MsSsimRows::Rows MsSsimRows::Rows::below(const Rows& above) const {
  if (!above.defined()) return *this;
  require(where.has_value() == above.where.has_value(),
          "ms_ssim: where is given with all rows of an image or with none");
  Rows rows{at::cat({above.prediction, prediction}, -2),
            at::cat({above.target, target}, -2),
            at::cat({above.mask, mask}, -2),
            {}};
  if (where) rows.where = at::cat({*above.where, *where}, -2);
  return rows;
}

DEEPLIGHT_INLINE MsSsimRows::MsSsimRows(MsSsimOptions options)
    : MsSsimAccumulator(std::move(options)), tails_(scales_.size()), odd_(scales_.size()) {}

DEEPLIGHT_INLINE void MsSsimRows::update(const at::Tensor& prediction, const at::Tensor& target,
                                         const at::Tensor& mask,
                                         const std::optional<at::Tensor>& where) {
  detail::check_pair("ms_ssim", prediction, target);
  Rows fresh{prediction.detach().to(at::kDouble),
             target.detach().to(at::kDouble),
             detail::expand_mask("ms_ssim", "mask", mask, prediction),
             {}};
  if (where) fresh.where = detail::expand_mask("ms_ssim", "where", *where, prediction);
  for (std::size_t i = 0; i < scales_.size(); ++i) {
    const Rows whole = fresh.below(tails_[i]);
    add(i, whole.prediction, whole.target, whole.mask, whole.where);
    const std::int64_t height = whole.mask.size(-2);
    const std::int64_t kept = std::min(options_.window_size - 1, height);
    tails_[i] = whole.part(height - kept, kept);
    if (i + 1 == scales_.size()) break;
    const Rows pairs = fresh.below(odd_[i]);
    const std::int64_t rows = pairs.mask.size(-2);
    odd_[i] = rows % 2 == 1 ? pairs.part(rows - 1, 1) : Rows{};
    if (rows < 2) break;
    fresh = {detail::halved_image(pairs.prediction),
             detail::halved_image(pairs.target),
             detail::halved_mask(pairs.mask),
             {}};
    if (pairs.where) fresh.where = detail::halved_where(*pairs.where);
  }
}

}  // namespace deeplight::metrics
