// Point-wise scores as sums: whatever is needed of the pixels seen so far, and nothing more.
//
// A point-wise metric is a policy: `statistics` reduces a part of a comparison to a small float64
// state, `merge` joins the states of two parts, `score` reads the value off. Batches, tiles of a
// raster and the processes of a distributed run then all give the value of the whole. The function
// of the same name (`psnr` for `Psnr`) is one pass over its images, in parts that fit the cache: no
// temporary has the images' size.
//
// Sums of a part are taken in one order whatever the number of threads, and parts are joined with
// compensated additions (Knuth's two-sum), so that a thousand million pixels lose no digit.
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <functional>
#include <optional>
#include <utility>

#include "deeplight/core/config.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/metrics/common.hpp"

namespace deeplight::metrics {

/// A part of a comparison. Invalid pixels are 0 in both images, whatever they held.
struct Part {
  at::Tensor prediction;  ///< [N, C, M] float64: N rows to score, C bands, M pixels
  at::Tensor target;      ///< [N, C, M] float64
  at::Tensor valid;       ///< [N, C, M] boolean; undefined when every pixel is valid
  at::Tensor zones;       ///< [N, C, M] int64; undefined unless the metric reads zones
};

/// A metric's constants and three functions. Leading dimension N of a state is the number of rows
/// scored side by side. `State` joins states (`merge`) and counts pixels (`count`).
template <class Metric>
concept PointwiseMetric =
    requires(const Metric& metric, const Part& part, const at::Tensor& state) {
      { Metric::name } -> std::convertible_to<const char*>;
      { Metric::State::merge(state, state) } -> std::same_as<at::Tensor>;
      { Metric::State::count(state) } -> std::same_as<at::Tensor>;
      { metric.statistics(part) } -> std::same_as<at::Tensor>;
      { metric.score(state) } -> std::same_as<at::Tensor>;
    };

namespace detail {

/// A comparison cut into parts of about 2^17 pixels, in row-major order. With `pooled` the images
/// of the batch form one row.
void for_each_part(const char* metric, const at::Tensor& prediction, const at::Tensor& target,
                   const std::optional<at::Tensor>& mask, const std::optional<at::Tensor>& zones,
                   bool pooled, const std::function<void(const Part&)>& visit);

/// Sum of [N, C, M] over its pixels, [N, C]; its bits do not depend on the number of threads.
at::Tensor pixel_sum(const at::Tensor& values);

/// Sum of [N, C, M] over bands and pixels, [N].
at::Tensor row_sum(const at::Tensor& values);

/// Valid values of each row, [N] float64.
at::Tensor row_count(const Part& part);

/// [N, ...] sums -> [N, ..., 2] sums and what rounding has kept out of them, 0 so far.
at::Tensor new_sums(const at::Tensor& sums);

/// Sums of two parts, each [N, ..., 2].
at::Tensor merge_sums(const at::Tensor& first, const at::Tensor& second);

/// [N, ..., 2] -> [N, ...].
at::Tensor total(const at::Tensor& sums);

/// Sum number `index` of a [N, sums, 2] state, [N].
at::Tensor sum_at(const at::Tensor& state, std::int64_t index);

/// Zeros in float64.
at::Tensor zeros(at::IntArrayRef shape);

/// [N] each -> the state [N, sums, 2] of one part.
at::Tensor sum_state(const std::vector<at::Tensor>& sums);

/// Square root whose gradient at 0 is 0 rather than infinite.
at::Tensor safe_sqrt(const at::Tensor& values);

/// `scores` [N, ...] with NaN in rows that have seen no pixel.
at::Tensor nan_where_empty(const at::Tensor& scores, const at::Tensor& count);

/// Leading dimensions that are batch.
std::vector<std::int64_t> batch_shape(const at::Tensor& image);

/// `values` in the image's shape, NaN outside the mask.
at::Tensor masked_map(const char* metric, const at::Tensor& values,
                      const std::optional<at::Tensor>& mask);

/// The error of a score that is no mean over pixels.
[[noreturn]] void throw_no_map(const char* metric);

/// Raises when a constant of the metric is missing or out of range.
template <class Metric>
void check(const Metric& metric) {
  if constexpr (requires { metric.check(); }) metric.check();
}

/// The state that has seen nothing, one row.
template <class Metric>
at::Tensor empty_state(const Metric& metric) {
  if constexpr (requires { metric.empty(); }) {
    return metric.empty();
  } else {
    return Metric::State::empty();
  }
}

/// One state for all parts of a comparison, rows as `pooled` says.
template <PointwiseMetric Metric>
at::Tensor gather(const Metric& metric, const at::Tensor& prediction, const at::Tensor& target,
                  const std::optional<at::Tensor>& mask, bool pooled) {
  at::Tensor state;
  for_each_part(Metric::name, prediction, target, mask, std::nullopt, pooled,
                [&metric, &state](const Part& part) {
                  const at::Tensor seen = metric.statistics(part);
                  state = state.defined() ? Metric::State::merge(state, seen) : seen;
                });
  return state;
}

/// The function form of a metric.
template <PointwiseMetric Metric>
at::Tensor score_images(const Metric& metric, const at::Tensor& prediction,
                        const at::Tensor& target, const std::optional<at::Tensor>& mask,
                        Reduction reduction) {
  check(metric);
  if (reduction == Reduction::map) throw_no_map(Metric::name);
  const at::Tensor state = gather(metric, prediction, target, mask, reduction == Reduction::pooled);
  return reduce(metric.score(state), Metric::State::count(state), reduction,
                batch_shape(prediction));
}

}  // namespace detail

/// A state of a few sums, [N, sums, 2] with what rounding kept out of them; the first counts
/// pixels.
template <std::int64_t sums>
struct SumState {
  static at::Tensor empty() { return detail::zeros({1, sums, 2}); }
  static at::Tensor merge(const at::Tensor& first, const at::Tensor& second) {
    return detail::merge_sums(first, second);
  }
  static at::Tensor count(const at::Tensor& state) { return detail::sum_at(state, 0); }
};

/// A score over everything that it has been given: blocks of a raster, batches, other accumulators.
/// The value is that of Reduction::pooled over all of it together. Bounded memory, no gradients.
/// @tparam Metric  Psnr, Rmse, Cc, ...: an aggregate with the metric's constants
template <PointwiseMetric Metric>
class Accumulator {
 public:
  /// @throws InvalidArgument  a constant is missing or out of range (data_range, ratio, ...)
  explicit Accumulator(Metric metric = {}) : metric_(std::move(metric)) {
    detail::check(metric_);
    reset();
  }

  /// Adds every valid pixel of a batch, an image or a block.
  /// @param prediction  [..., C, H, W], [C, H, W] or [H, W], any real type
  /// @param target      the same shape
  /// @param mask        boolean, broadcast to that shape; true is valid
  /// @throws InvalidArgument  shapes differ, the mask is not boolean
  void update(const at::Tensor& prediction, const at::Tensor& target,
              const std::optional<at::Tensor>& mask = std::nullopt) {
    const at::Tensor seen =
        detail::gather(metric_, prediction.detach(), target.detach(), mask, true);
    state_ = Metric::State::merge(state_.to(seen.device()), seen);
  }

  /// Scores of the images of a batch and what each stands on, both [N] over the flattened batch;
  /// nothing is added. An image of count 0 has no vote in a mean.
  std::pair<at::Tensor, at::Tensor> per_image(
      const at::Tensor& prediction, const at::Tensor& target,
      const std::optional<at::Tensor>& mask = std::nullopt) const {
    const at::Tensor state =
        detail::gather(metric_, prediction.detach(), target.detach(), mask, false);
    return {metric_.score(state), Metric::State::count(state)};
  }

  /// Adds what another accumulator of the same constants has seen.
  void merge(const Accumulator& other) { merge_state(other.state_); }

  /// Adds a state that another process or thread hands over.
  /// @throws InvalidArgument  not the shape of this metric's state
  void merge_state(const at::Tensor& state) {
    check_state(state);
    state_ = Metric::State::merge(state_.to(state.device()), state);
  }

  /// The score, float64; a scalar for most metrics. NaN when nothing was valid.
  at::Tensor compute() const { return metric_.score(state_).squeeze(0); }

  /// Pixels (for some metrics: other things) that the score stands on, float64.
  at::Tensor count() const { return Metric::State::count(state_).squeeze(0); }

  /// Forgets everything seen.
  void reset() { state_ = detail::empty_state(metric_); }

  /// All that was seen, float64; a plain tensor to send, stack or store.
  const at::Tensor& state() const { return state_; }

  /// @throws InvalidArgument  not the shape of this metric's state
  void set_state(const at::Tensor& state) {
    check_state(state);
    state_ = state;
  }

  const Metric& metric() const { return metric_; }

 private:
  void check_state(const at::Tensor& state) const {
    require(
        state.defined() && state.scalar_type() == at::kDouble && state.sizes() == state_.sizes(),
        Metric::name, ": a state is float64 ", state_.sizes(), ", got ",
        state.defined() ? concat(state.sizes()) : "nothing");
  }

  Metric metric_;
  at::Tensor state_;
};

}  // namespace deeplight::metrics

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/metrics/accumulator_inl.hpp"
#endif
