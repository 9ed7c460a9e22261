// What a dataset of GDAL says of itself, as `RasterInfo`, and whether that is believable.
#pragma once

#include <cpl_string.h>
#include <gdal_priv.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/gdal_errors.hpp"
#include "deeplight/raster/raster_reader.hpp"

namespace deeplight::detail {

inline std::string stored_type(GDALDataType type) {
  if (type == GDT_Byte) return "uint8";
  std::string name = GDALGetDataTypeName(type);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return name;
}

/// The uncompressed size is believable for the size of the file. Formats that refer to other files
/// or folders are left out.
inline void check_expansion(GDALDataset& dataset, const RasterInfo& info,
                            const RasterLimits& limits) {
  if (info.driver == "VRT" || info.driver == "Zarr" || info.driver == "MEM") return;
  const CPLStringList files(dataset.GetFileList());
  VSIStatBufL status;
  if (files.Count() != 1 || VSIStatL(files[0], &status) != 0 || !VSI_ISREG(status.st_mode)) return;
  const auto size = static_cast<double>(status.st_size);
  double claimed = 0.0;
  for (int band = 1; band <= dataset.GetRasterCount(); ++band) {
    claimed += static_cast<double>(info.grid.rows) * static_cast<double>(info.grid.columns) *
               GDALGetDataTypeSizeBytes(dataset.GetRasterBand(band)->GetRasterDataType());
  }
  constexpr double small = 256.0 * 1024 * 1024;
  require<FormatError>(claimed <= small || claimed <= size * static_cast<double>(limits.expansion),
                       "'", info.path, "' has ", static_cast<std::int64_t>(size),
                       " bytes and claims ", info.grid.size_text(), " pixels (",
                       static_cast<std::int64_t>(claimed),
                       " bytes): damaged or hostile, refused before anything is allocated");
}

inline RasterInfo describe(GDALDataset& dataset, const std::string& path) {
  RasterInfo info;
  info.path = path;
  if (dataset.GetDriver() != nullptr) info.driver = dataset.GetDriver()->GetDescription();
  info.grid.rows = dataset.GetRasterYSize();
  info.grid.columns = dataset.GetRasterXSize();
  info.grid.georeferenced = dataset.GetGeoTransform(info.grid.geotransform.data()) == CE_None;
  if (!info.grid.georeferenced) info.grid.geotransform = {0, 1, 0, 0, 0, 1};
  if (const OGRSpatialReference* crs = dataset.GetSpatialRef(); crs != nullptr) {
    const GdalErrors quiet;  // a system that GDAL cannot express is no damage
    char* wkt = nullptr;
    const char* const options[] = {"FORMAT=WKT2", nullptr};
    if (crs->exportToWkt(&wkt, options) == OGRERR_NONE && wkt != nullptr) info.grid.crs_wkt = wkt;
    CPLFree(wkt);
  }
  for (char** item = dataset.GetMetadata(); item != nullptr && *item != nullptr; ++item) {
    char* key = nullptr;
    const char* value = CPLParseNameValue(*item, &key);
    if (key != nullptr && value != nullptr) info.metadata[key] = value;
    CPLFree(key);
  }
  return info;
}

/// A band's name: GDAL's, or what NetCDF and Zarr call `long_name`.
inline std::string name_of(GDALDataset& dataset, GDALRasterBand& band) {
  if (const std::string name = band.GetDescription(); !name.empty()) return name;
  const char* name = band.GetMetadataItem("long_name");
  if (name == nullptr && dataset.GetRasterCount() == 1) name = dataset.GetMetadataItem("long_name");
  return name == nullptr ? "" : name;
}

inline BandInfo describe_band(GDALDataset& dataset, GDALRasterBand& band) {
  BandInfo info;
  info.name = name_of(dataset, band);
  if (const char* units = band.GetUnitType(); units != nullptr) info.units = units;
  info.dtype = stored_type(band.GetRasterDataType());
  info.color = GDALGetColorInterpretationName(band.GetColorInterpretation());
  int present = 0;
  if (const double nodata = band.GetNoDataValue(&present); present != 0) info.nodata = nodata;
  info.scale = band.GetScale();
  info.offset = band.GetOffset();
  return info;
}

/// Subdatasets of a container, for a message.
inline std::string subdatasets(GDALDataset& dataset) {
  std::string text;
  char** list = dataset.GetMetadata("SUBDATASETS");
  for (int index = 1; index <= 8; ++index) {
    const char* name = CSLFetchNameValue(list, CPLSPrintf("SUBDATASET_%d_NAME", index));
    if (name != nullptr) text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

}  // namespace deeplight::detail
