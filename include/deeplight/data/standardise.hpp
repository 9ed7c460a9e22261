// Linear values of one band of a guide, normalised. No torch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "deeplight/core/finite.hpp"
#include "deeplight/weights/card.hpp"

namespace deeplight::detail {

/// (value / scale - mean) / std of values of one band where they are usable, else 0; computed in
/// float64, each value once: a pass for each operation would cost more than reading them.
/// @param valid  as `values`, or null
inline void standardise(const float* values, const std::uint8_t* valid, std::int64_t count,
                        const GuideDescription& guide, std::size_t band, float* to) {
  const double mean = guide.mean.empty() ? 0.0 : guide.mean[band];
  const double std = guide.std.empty() ? 1.0 : guide.std[band];
  const double scale = guide.transform_scale;
  if (scale == 1.0) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>((values[i] - mean) / std);
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      to[i] = static_cast<float>((values[i] / scale - mean) / std);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) to[i] = is_finite(values[i]) ? to[i] : 0.0F;
  for (std::int64_t i = 0; valid != nullptr && i < count; ++i) to[i] = valid[i] ? to[i] : 0.0F;
}

}  // namespace deeplight::detail
