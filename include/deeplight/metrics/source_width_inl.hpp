// Definitions of metrics/source_width.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/kernels/source_width_cpu.hpp"
#include "deeplight/metrics/source_width.hpp"

namespace deeplight::metrics {

DEEPLIGHT_INLINE SourceWidths source_widths(const at::Tensor& prediction, const at::Tensor& target,
                                            const SourceWidthOptions& options) {
  constexpr const char* name = "source_widths";
  detail::check_pair(name, prediction, target);
  require(options.min_peak.has_value() && std::isfinite(*options.min_peak), name,
          ": min_peak must be given, the least peak of a source in the target's units; below it "
          "noise would be measured");
  require(options.radius >= 2, name, ": radius must be at least 2 pixels, got ", options.radius);
  require(options.shift >= 0 && options.shift < options.radius, name,
          ": shift must be at least 0 and below the radius ", options.radius, ", got ",
          options.shift);
  require(options.dark >= 0.0 && options.dark <= 0.5, name,
          ": dark is a part of the peak from 0 to 0.5, got ", options.dark);

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

}  // namespace deeplight::metrics
