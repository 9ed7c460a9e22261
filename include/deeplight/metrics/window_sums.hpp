// Template definition of metrics/window.hpp: a kernel score over the planes of two tensors.
#pragma once

#include <utility>

#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/metrics/window.hpp"

namespace deeplight::metrics::detail {

template <class Score>
WindowSums window_sums(const WindowRule& rule, const Score& score, const at::Tensor& prediction,
                       const at::Tensor& target, const std::optional<at::Tensor>& mask,
                       const std::optional<at::Tensor>& where, const at::Tensor& map) {
  const auto planes_of_mask = [&](const std::optional<at::Tensor>& given, const char* name) {
    return given ? as_planes(expand_mask(rule.metric, name, *given, prediction)) : at::Tensor();
  };
  const at::Tensor x = as_planes(prediction), y = as_planes(target);
  const at::Tensor valid = planes_of_mask(mask, "mask"), centres = planes_of_mask(where, "where");
  const std::int64_t planes = x.size(0), border = rule.border();
  const std::int64_t high = x.size(1) + 2 * border - rule.size + 1;
  const std::int64_t wide = x.size(2) + 2 * border - rule.size + 1;
  std::vector<double> row_sums(static_cast<std::size_t>(planes * high), 0.0);
  std::vector<std::int64_t> row_counts(row_sums.size(), 0);
  std::vector<kernels::WindowJob> jobs;
  for (std::int64_t i = 0; i < planes; ++i) {
    jobs.push_back({.x = plane_of(x, i, border),
                    .y = plane_of(y, i, border),
                    .mask = mask_plane_of(valid, i, border),
                    .where = mask_plane_of(centres, i, border),
                    .row_sums = row_sums.data() + i * high,
                    .row_counts = row_counts.data() + i * high,
                    .map = map.defined() ? map.data_ptr<double>() + i * high * wide : nullptr});
  }
  kernels::score_windows(jobs, rule.moments(), score, functional::torch_parallel());
  WindowSums result;
  for (std::int64_t i = 0; i < planes; ++i) {
    kernels::ExactSum sum;
    std::int64_t count = 0;
    for (std::int64_t row = i * high; row < (i + 1) * high; ++row) {
      sum.add(row_sums[row]);
      count += row_counts[row];
    }
    result.sums.push_back(sum);
    result.counts.push_back(count);
  }
  return result;
}

}  // namespace deeplight::metrics::detail
