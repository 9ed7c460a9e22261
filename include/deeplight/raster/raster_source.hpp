// Which names are opened as rasters: formats, file systems inside GDAL, sources of VRT mosaics.
//
// GDAL opens far more than files: web services, memory of the process, folders of archives, and
// whatever a VRT names. A raster from a stranger must not reach further than the file it came in.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "deeplight/core/config.hpp"

namespace deeplight {

/// Whether this process reads rasters over the network: DEEPLIGHT_NETWORK is set to 1, or
/// `allow_network(true)` was called.
bool network_allowed();
void allow_network(bool allow);

/// Whether `name` is a name that GDAL resolves (`/vsizip/...`, `NETCDF:"f.nc":light`) rather than a
/// plain path.
bool is_gdal_name(const std::string& name);

/// Refuses names that reach beyond files of this machine.
///
/// Allowed are paths, `/vsizip/`, `/vsitar/`, `/vsigzip/`, `/vsimem/`, `/vsisubfile/`, and
/// subdatasets of files. `/vsicurl/`, `/vsis3/`, `/vsigs/`, `/vsiaz/`, `/vsiadls/`, `/vsioss/`,
/// `/vsiswift/` and addresses need `network_allowed()`. Everything else (memory addresses,
/// standard input, XML in place of a name) is refused.
/// @throws InvalidArgument  naming the rule
void check_raster_name(const std::string& name);

/// Follows the sources of a VRT, of VRTs in it, and so on.
///
/// Each must be a raster of an allowed format under an allowed name; raw bands, which show the
/// bytes of any file, and pixel functions in Python are refused. A file that is no VRT passes.
/// @throws FormatError  a source is missing, not allowed, or nested deeper than 8
void check_vrt_sources(const std::string& name);

/// A name of several rasters whose bands are read as one: `b1.tif,b2.tif`. One element where `name`
/// exists or holds no comma.
std::vector<std::filesystem::path> raster_parts(const std::filesystem::path& name);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/raster/raster_source_inl.hpp"
#endif
