// How guides relate to the low-resolution grid: check it, or warp a guide onto it when asked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/raster/raster_reader.hpp"

namespace deeplight {

/// How a guide is resampled. `automatic`: average where its cells are finer than the target's,
/// bilinear otherwise.
enum class Resampling { automatic, nearest, bilinear, cubic, average, mode };
DEEPLIGHT_ENUM(Resampling, {{Resampling::automatic, "automatic"},
                            {Resampling::nearest, "nearest"},
                            {Resampling::bilinear, "bilinear"},
                            {Resampling::cubic, "cubic"},
                            {Resampling::average, "average"},
                            {Resampling::mode, "mode"}})

/// Corners may differ by this share of a fine cell.
inline constexpr double extent_tolerance = 1e-3;

/// The guide has the low resolution's coordinate system and extent, and exactly `scale` times its
/// size. @throws GridMismatch  naming the guide, both files and both values
void check_guide(const RasterInfo& low_resolution, const RasterInfo& guide, const std::string& name,
                 std::int64_t scale);

/// Whether `check_guide` would pass.
bool guide_fits(const RasterInfo& low_resolution, const RasterInfo& guide, std::int64_t scale);

/// Two low-resolution rasters share one grid. @throws GridMismatch
void check_same_grid(const RasterInfo& expected, const RasterInfo& other);

/// The guide warped onto `low_resolution.refined(scale)`, computed window by window while it is
/// read, so that memory does not grow with it. Ground that the guide does not cover is invalid.
/// @throws GridMismatch  either raster lacks a coordinate system, they do not overlap, or the
///                       low-resolution grid is rotated
RasterReader align_guide(const std::filesystem::path& guide, const Grid& low_resolution,
                         std::int64_t scale, Resampling resampling = Resampling::automatic,
                         const RasterLimits& limits = {});

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/alignment_inl.hpp"
#endif
