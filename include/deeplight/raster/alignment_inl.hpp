// Definitions of alignment.hpp.
#pragma once

#include <cpl_string.h>
#include <gdal_alg.h>
#include <gdal_priv.h>
#include <gdal_utils.h>
#include <gdalwarper.h>

#include <cmath>
#include <memory>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/alignment.hpp"
#include "deeplight/raster/gdal_errors.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "deeplight/raster/raster_source_inl.hpp"

namespace deeplight {

namespace detail {

inline std::string extent_text(const Grid& grid) {
  const auto end = grid.corner(static_cast<double>(grid.rows), static_cast<double>(grid.columns));
  std::ostringstream text;
  text.precision(10);
  text << "(" << grid.geotransform[0] << ", " << grid.geotransform[3] << ") to (" << end[0] << ", "
       << end[1] << ")";
  return text.str();
}

/// The rule that the pair breaks, as a sentence; empty when it fits.
inline std::string guide_misfit(const RasterInfo& low_resolution, const RasterInfo& guide,
                                const std::string& subject, std::int64_t scale) {
  const Grid& coarse = low_resolution.grid;
  const Grid& fine = guide.grid;
  if (!same_crs(coarse.crs_wkt, fine.crs_wkt)) {
    return concat(subject, " is in ", crs_name(fine.crs_wkt), ", expected ",
                  crs_name(coarse.crs_wkt), " as in ", low_resolution.path);
  }
  if (fine.rows != coarse.rows * scale || fine.columns != coarse.columns * scale) {
    const Grid expected = coarse.refined(scale);
    return concat(subject, " is ", fine.size_text(), " (columns x rows), expected ",
                  expected.size_text(), " = ", scale, " x low resolution ", coarse.size_text(),
                  " of ", low_resolution.path);
  }
  if (coarse.georeferenced != fine.georeferenced) {
    return concat(subject, fine.georeferenced ? " has" : " has no", " georeference, while ",
                  low_resolution.path, coarse.georeferenced ? " has one" : " has none");
  }
  if (!(extent_gap(coarse, fine) <= extent_tolerance)) {
    return concat(subject, " covers ", extent_text(fine), ", expected ", extent_text(coarse),
                  " as ", low_resolution.path, ": they differ by ", extent_gap(coarse, fine),
                  " fine cells, at most ", extent_tolerance, " are allowed");
  }
  return "";
}

/// Closes `dataset`, then lets go of `source`, which a virtual dataset goes on reading.
inline std::shared_ptr<void> hold(GDALDatasetH dataset, std::shared_ptr<void> source = nullptr) {
  if (dataset == nullptr) return nullptr;
  return {dataset, [source = std::move(source)](void* open) {
            const GdalErrors quiet;
            GDALClose(open);
          }};
}

/// Ratio of a target cell to a cell of `source` seen in the target's coordinate system.
inline double coarsening(GDALDatasetH source, const Grid& target) {
  GdalErrors errors;
  void* transformer = GDALCreateGenImgProjTransformer(source, nullptr, nullptr,
                                                      target.crs_wkt.c_str(), FALSE, 0.0, 1);
  double geotransform[6] = {0, 1, 0, 0, 0, 1};
  int columns = 0, rows = 0;
  const bool known = transformer != nullptr &&
                     GDALSuggestedWarpOutput(source, GDALGenImgProjTransform, transformer,
                                             geotransform, &columns, &rows) == CE_None;
  if (transformer != nullptr) GDALDestroyGenImgProjTransformer(transformer);
  require<GridMismatch>(known, "a guide cannot be transformed to ", crs_name(target.crs_wkt),
                        " (GDAL: ", errors.text(), ")");
  return target.cell_size()[0] / std::abs(geotransform[1]);
}

}  // namespace detail

DEEPLIGHT_INLINE void check_guide(const RasterInfo& low_resolution, const RasterInfo& guide,
                                  const std::string& name, std::int64_t scale) {
  const std::string misfit = detail::guide_misfit(
      low_resolution, guide, concat("guide '", name, "' (", guide.path, ")"), scale);
  require<GridMismatch>(misfit.empty(), misfit);
}

DEEPLIGHT_INLINE bool guide_fits(const RasterInfo& low_resolution, const RasterInfo& guide,
                                 std::int64_t scale) {
  return detail::guide_misfit(low_resolution, guide, "", scale).empty();
}

DEEPLIGHT_INLINE void check_same_grid(const RasterInfo& expected, const RasterInfo& other) {
  const std::string misfit =
      detail::guide_misfit(expected, other, concat("low resolution ", other.path), 1);
  require<GridMismatch>(misfit.empty(), misfit);
}

DEEPLIGHT_INLINE RasterReader align_guide(const std::filesystem::path& guide,
                                          const Grid& low_resolution, std::int64_t scale,
                                          Resampling resampling, const RasterLimits& limits) {
  if (const auto parts = raster_parts(guide); parts.size() > 1) {
    std::vector<RasterReader> aligned;
    for (const std::filesystem::path& part : parts) {
      aligned.push_back(align_guide(part, low_resolution, scale, resampling, limits));
    }
    return RasterReader::stack(std::move(aligned), limits);
  }
  const RasterReader original(guide, limits);
  const RasterInfo& info = original.info();
  const Grid target = low_resolution.refined(scale);
  require<GridMismatch>(!info.grid.crs_wkt.empty() && !target.crs_wkt.empty(), "aligning '",
                        info.path, "' needs the coordinate system of both rasters; ",
                        info.grid.crs_wkt.empty() ? "the guide" : "the low resolution",
                        " has none");
  require<GridMismatch>(target.geotransform[2] == 0 && target.geotransform[4] == 0 &&
                            target.geotransform[1] > 0 && target.geotransform[5] < 0,
                        "guides can be aligned only to a low-resolution grid with north up; warp '",
                        info.path, "' beforehand");
  GdalErrors errors;
  const auto open = detail::hold(
      GDALOpenEx(info.path.c_str(), GDAL_OF_RASTER, detail::allowed_drivers, nullptr, nullptr));
  require<FileError>(open != nullptr, "'", info.path, "' cannot be opened: ", errors.text());
  if (resampling == Resampling::automatic) {
    resampling =
        detail::coarsening(open.get(), target) > 1.25 ? Resampling::average : Resampling::bilinear;
  }
  const auto end =
      target.corner(static_cast<double>(target.rows), static_cast<double>(target.columns));
  CPLStringList arguments;
  const auto add = [&](const auto&... parts) { (arguments.AddString(parts), ...); };
  const auto number = [](double value) { return std::string(CPLSPrintf("%.17g", value)); };
  const std::string method =
      resampling == Resampling::nearest ? "near" : enum_to_string(resampling);
  add("-of", "VRT", "-ot", "Float32", "-wt", "Float32", "-wm", "64");
  // Each band has its own validity.
  add("-wo", "UNIFIED_SRC_NODATA=NO");
  add("-t_srs", target.crs_wkt.c_str(), "-r", method.c_str());
  add("-te", number(target.geotransform[0]).c_str(), number(end[1]).c_str(), number(end[0]).c_str(),
      number(target.geotransform[3]).c_str());
  add("-ts", concat(target.columns).c_str(), concat(target.rows).c_str());
  // Missing ground must differ from an observed zero; an alpha band carries its own validity.
  if (info.has_alpha) {
    add("-dstalpha");
  } else {
    add("-dstnodata", "nan");
    const bool floating = info.bands.front().dtype.starts_with("float");
    if (!info.bands.front().nodata && floating) add("-srcnodata", "nan");
  }
  const std::unique_ptr<GDALWarpAppOptions, decltype(&GDALWarpAppOptionsFree)> options(
      GDALWarpAppOptionsNew(arguments.List(), nullptr), &GDALWarpAppOptionsFree);
  require(options != nullptr, "aligning '", info.path, "': ", errors.text());
  GDALDatasetH source = open.get();
  int misused = 0;
  const auto warped =
      detail::hold(GDALWarp("", nullptr, 1, &source, options.get(), &misused), open);
  require<GridMismatch>(warped != nullptr, "'", info.path, "' cannot be aligned to ", target.text(),
                        " (GDAL: ", errors.text(), ")");
  return RasterReader::adopt(warped, info.path + " (aligned)", limits);
}

}  // namespace deeplight
