// From what a file stores to observations with their validity. No GDAL.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "deeplight/core/finite.hpp"
#include "deeplight/raster/band_info.hpp"

namespace deeplight::detail {

/// Stored values of a band become observations: scaled, 0 where they are none. One loop for each
/// step, without branches: what they are given is small enough to stay in the cache.
inline void to_observations(const BandInfo& band, float* values, std::uint8_t* valid,
                            std::int64_t count) {
  const bool scaled = band.scale != 1.0 || band.offset != 0.0;
  const bool whole = band.dtype.starts_with("int") || band.dtype.starts_with("uint");
  if (whole && !scaled && !band.nodata && std::memchr(valid, 0, count) == nullptr) {
    std::fill_n(valid, count, std::uint8_t{1});
    return;
  }
  if (band.nodata) {
    const auto nodata = static_cast<float>(*band.nodata);
    for (std::int64_t i = 0; i < count; ++i) valid[i] = values[i] == nodata ? 0 : valid[i];
  }
  for (std::int64_t i = 0; scaled && i < count; ++i) {
    values[i] = static_cast<float>(values[i] * band.scale + band.offset);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    valid[i] = static_cast<std::uint8_t>(is_finite(values[i]) && valid[i] != 0);
    values[i] = valid[i] != 0 ? values[i] : 0.0F;
  }
}

}  // namespace deeplight::detail
