// Low resolutions of weights that take kelvin: Celsius is converted while it is read, values that
// no land surface has are refused.
#pragma once

#include <gdal.h>
#include <gdal_utils.h>

#include <filesystem>
#include <memory>
#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/radiometry/temperature.hpp"
#include "deeplight/raster/gdal_errors.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "deeplight/weights/card.hpp"

namespace deeplight::detail {

/// Whether the weights take temperatures in kelvin.
inline bool takes_kelvin(const Card& card) {
  return radiometry::temperature_units(card.preprocessing.low_resolution.units) ==
         radiometry::TemperatureUnits::kelvin;
}

/// The raster in kelvin, computed while it is read; itself unless the file says that it is in
/// degrees Celsius. A file that states no units is read in the card's.
///
/// @throws InvalidArgument  the file states units that are no temperature
inline RasterReader in_kelvin(const RasterReader& raster) {
  const RasterInfo& info = raster.info();
  const BandInfo& band = info.bands.front();
  if (band.units.empty()) return raster;
  const auto units = radiometry::settle_temperature_units(band.units, "", info.path);
  if (units == radiometry::TemperatureUnits::kelvin) return raster;
  GdalErrors errors;
  const auto close = [](void* open) { GDALClose(open); };
  const char* driver[] = {info.driver.c_str(), nullptr};  // the one that it was opened with
  const std::shared_ptr<void> source(
      GDALOpenEx(info.path.c_str(), GDAL_OF_RASTER, driver, nullptr, nullptr), close);
  require<FileError>(source != nullptr, "'", info.path, "' cannot be opened: ", errors.text());
  const char* arguments[] = {"-of", "VRT", nullptr};
  const std::unique_ptr<GDALTranslateOptions, decltype(&GDALTranslateOptionsFree)> options(
      GDALTranslateOptionsNew(const_cast<char**>(arguments), nullptr), &GDALTranslateOptionsFree);
  const GDALDatasetH translated = GDALTranslate("", source.get(), options.get(), nullptr);
  require<FileError>(translated != nullptr, "'", info.path,
                     "' cannot be read as kelvin (GDAL: ", errors.text(), ")");
  // The virtual dataset goes on reading its source.
  const std::shared_ptr<void> virtual_raster(translated,
                                             [source, close](void* open) { close(open); });
  const GDALRasterBandH first = GDALGetRasterBand(virtual_raster.get(), 1);
  GDALSetRasterScale(first, band.scale);
  GDALSetRasterOffset(first, band.offset + radiometry::celsius_zero);
  GDALSetRasterUnitType(first, "K");
  return RasterReader::adopt(virtual_raster, info.path);
}

}  // namespace deeplight::detail
