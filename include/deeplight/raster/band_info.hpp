// What a file states about a band: how its stored values become observations.
#pragma once

#include <optional>
#include <string>

namespace deeplight {

/// What a file states about one band.
struct BandInfo {
  std::string name{};            ///< description; empty when the file has none
  std::string units{};           ///< e.g. "nW cm-2 sr-1"; empty when the file has none
  std::string dtype{};           ///< as stored: uint8, int16, float32, ...
  std::string color{};           ///< GDAL's colour interpretation, e.g. "Gray"
  std::optional<double> nodata;  ///< in stored values, before scale and offset
  double scale = 1.0;            ///< value = stored * scale + offset, applied by `read`
  double offset = 0.0;
};

}  // namespace deeplight
