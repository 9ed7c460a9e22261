// Quality bits that make pixels invalid: clouds, snow, no retrieval.
//
// Sensors state the quality of each pixel as bits of a second raster. A pixel counts as missing
// where any of the chosen bits is set, or where the quality raster itself is nodata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "deeplight/core/config.hpp"
#include "deeplight/raster/raster_reader.hpp"

namespace deeplight {

struct QualityMask {
  std::filesystem::path path{};  ///< on the grid of the raster that it judges
  std::uint32_t bits = 0;        ///< a pixel is missing where `value & bits` is not 0
  std::int64_t band = 0;         ///< counted from 0

  /// `qa.tif:0,1,4-7` - bits from 0, the lowest, to 31. Another band than the first stands behind
  /// the file, counted from 0: `qa.tif@2:0,1`.
  /// @throws InvalidArgument  no colon, no bits, a bit above 31
  static QualityMask parse(const std::string& text);

  /// `0,1,4,5`.
  std::string bit_list() const;
};

/// `raster` with the bad pixels of every band invalid.
/// @throws GridMismatch     the quality raster lies on another grid
/// @throws InvalidArgument  its band does not exist, holds no integers or fewer bits than chosen;
///                          no bits are chosen
RasterReader mask_by_quality(const RasterReader& raster, const QualityMask& quality,
                             const RasterLimits& limits = {});

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/quality_mask_inl.hpp"
#endif
