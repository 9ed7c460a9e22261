// Zones of a city-level regression: the labels of a raster, or polygons drawn onto a grid.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/raster/raster_reader.hpp"

namespace deeplight {

/// Zones on a grid, read by windows.
struct ZoneLabels {
  std::vector<std::int64_t> labels;                    ///< above 0, ascending
  std::function<at::Tensor(const Window&)> read = {};  ///< int64 [rows, columns]; 0: no zone
};

/// @param path   a raster of integers on the grid (its nodata value and labels below 1 are no
///               zone), or polygons (GeoJSON, GeoPackage, shapefile, FlatGeobuf): the features of
///               the first layer are zones 1, 2, ... in their order, brought into the grid's
///               coordinate system. A pixel belongs to the polygon that holds its centre, the later
///               one where they overlap.
/// @param truth  the raster whose grid it is
/// @throws GridMismatch  a raster of another grid; polygons where one side has no coordinate system
/// @throws FormatError   no integers, no polygon, a damaged file
/// @throws FileError     missing
ZoneLabels open_zones(const std::filesystem::path& path, const RasterInfo& truth);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/zone_labels_inl.hpp"
#endif
