// Definitions of metrics/source_width.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/kernels/source_width_cpu.hpp"
#include "deeplight/metrics/accumulator.hpp"
#include "deeplight/metrics/source_width.hpp"

namespace deeplight::metrics {
namespace detail {

DEEPLIGHT_INLINE void check_sources(const SourceWidthOptions& options) {
  constexpr const char* name = "source_widths";
  require(options.min_peak.has_value() && std::isfinite(*options.min_peak), name,
          ": min_peak must be given, the least peak of a source in the target's units; below it "
          "noise would be measured");
  require(options.radius >= 2, name, ": radius must be at least 2 pixels, got ", options.radius);
  require(options.shift >= 0 && options.shift < options.radius, name,
          ": shift must be at least 0 and below the radius ", options.radius, ", got ",
          options.shift);
  require(options.dark >= 0.0 && options.dark <= 0.5, name,
          ": dark is a part of the peak from 0 to 0.5, got ", options.dark);
}

// [5]: sources, measured ones, sums of their widths and of their squared differences.
DEEPLIGHT_INLINE at::Tensor width_sums(const SourceWidths& widths, const at::Tensor& chosen) {
  const at::Tensor p = widths.prediction.masked_select(chosen);
  const at::Tensor t = widths.target.masked_select(chosen);
  const at::Tensor unknown = p.isnan().logical_or(t.isnan());
  const auto measured = [&unknown](const at::Tensor& values) {
    return values.masked_fill(unknown, 0.0).sum();
  };
  return at::stack({chosen.sum().to(at::kDouble), unknown.logical_not().sum().to(at::kDouble),
                    measured(p), measured(t), measured((p - t).square())});
}

DEEPLIGHT_INLINE SourceWidthMeans means_of(const at::Tensor& sums) {
  const at::Tensor measured = sums[1];
  return {sums[0], measured, sums[2] / measured, sums[3] / measured, (sums[4] / measured).sqrt()};
}

}  // namespace detail

DEEPLIGHT_INLINE SourceWidths source_widths(const at::Tensor& prediction, const at::Tensor& target,
                                            const SourceWidthOptions& options) {
  constexpr const char* name = "source_widths";
  detail::check_pair(name, prediction, target);
  detail::check_sources(options);

  const std::int64_t rows = target.size(-2), columns = target.size(-1);
  const std::int64_t planes = target.numel() / (rows * columns);
  const auto flat = [&](const at::Tensor& image) {
    return image.detach().reshape({planes, rows, columns});
  };
  const at::Tensor x = flat(prediction), y = flat(target);
  at::Tensor valid;
  if (options.mask) valid = flat(detail::expand_mask(name, "mask", *options.mask, prediction));

  std::vector<std::int64_t> plane_of;
  std::vector<kernels::SourceWidth> found;
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    const at::Tensor a = x[plane].to(at::kCPU, at::kDouble).contiguous();
    const at::Tensor b = y[plane].to(at::kCPU, at::kDouble).contiguous();
    const at::Tensor c = valid.defined() ? valid[plane].to(at::kCPU).contiguous() : at::Tensor{};
    const auto sources =
        kernels::source_widths({.prediction = a.const_data_ptr<double>(),
                                .target = b.const_data_ptr<double>(),
                                .valid = c.defined() ? c.const_data_ptr<bool>() : nullptr,
                                .rows = rows,
                                .columns = columns},
                               {.min_peak = *options.min_peak,
                                .radius = options.radius,
                                .dark = options.dark,
                                .shift = options.shift});
    found.insert(found.end(), sources.begin(), sources.end());
    plane_of.resize(found.size(), plane);
  }

  const auto number = static_cast<std::int64_t>(found.size());
  SourceWidths widths{at::empty({number}, at::kLong), at::empty({number}, at::kLong),
                      at::empty({number}, at::kLong), at::empty({number}, at::kDouble),
                      at::empty({number}, at::kDouble)};
  for (std::int64_t i = 0; i < number; ++i) {
    widths.plane.mutable_data_ptr<std::int64_t>()[i] = plane_of[i];
    widths.row.mutable_data_ptr<std::int64_t>()[i] = found[i].row;
    widths.column.mutable_data_ptr<std::int64_t>()[i] = found[i].column;
    widths.prediction.mutable_data_ptr<double>()[i] = found[i].prediction;
    widths.target.mutable_data_ptr<double>()[i] = found[i].target;
  }
  return widths;
}

DEEPLIGHT_INLINE SourceWidthMeans source_width_means(const SourceWidths& widths) {
  return detail::means_of(detail::width_sums(widths, widths.row.ge(0)));
}

DEEPLIGHT_INLINE SourceWidthAccumulator::SourceWidthAccumulator(SourceWidthOptions options)
    : options_(std::move(options)) {
  detail::check_sources(options_);
  reset();
}

DEEPLIGHT_INLINE void SourceWidthAccumulator::update(const at::Tensor& prediction,
                                                     const at::Tensor& target,
                                                     const std::optional<at::Tensor>& mask,
                                                     const SourceHalo& halo) {
  require(std::min({halo.top, halo.left, halo.bottom, halo.right}) >= 0,
          "source_widths: a halo is at least 0 pixels wide");
  SourceWidthOptions options = options_;
  options.mask = mask;
  const SourceWidths found = source_widths(prediction, target, options);
  const auto within = [](const at::Tensor& at_pixel, std::int64_t before, std::int64_t end) {
    return at_pixel.ge(before).logical_and(at_pixel.lt(end));
  };
  const at::Tensor own =
      within(found.row, halo.top, target.size(-2) - halo.bottom)
          .logical_and(within(found.column, halo.left, target.size(-1) - halo.right));
  state_ = detail::merge_sums(state_, detail::new_sums(detail::width_sums(found, own)));
}

DEEPLIGHT_INLINE void SourceWidthAccumulator::merge_state(const at::Tensor& state) {
  const at::Tensor own = state_;
  set_state(state);
  state_ = detail::merge_sums(own.to(state.device()), state);
}

DEEPLIGHT_INLINE SourceWidthMeans SourceWidthAccumulator::compute() const {
  return detail::means_of(detail::total(state_));
}

DEEPLIGHT_INLINE void SourceWidthAccumulator::reset() {
  state_ = detail::zeros({5, 2});
}

DEEPLIGHT_INLINE void SourceWidthAccumulator::set_state(const at::Tensor& state) {
  require(state.defined() && state.scalar_type() == at::kDouble && state.sizes() == state_.sizes(),
          "source_widths: a state is float64 ", state_.sizes(), ", got ",
          state.defined() ? concat(state.sizes()) : "nothing");
  state_ = state;
}

}  // namespace deeplight::metrics
