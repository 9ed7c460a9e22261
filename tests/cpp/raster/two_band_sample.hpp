// A raster in memory that tests of formats write in every way.
#pragma once

#include <ogr_spatialref.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "deeplight/raster/raster_sink.hpp"
#include "raster/test_rasters.hpp"

namespace deeplight::test {

/// Two bands with nodata among the values, and all that a raster says of itself.
struct TwoBandSample {
  ValueArray values = make_array<ValueArray>(2, 518, 1030);
  ValidArray valid = make_array<ValidArray>(2, 518, 1030);
  Grid grid;
  RasterWriterOptions options;

  TwoBandSample() {
    for (std::size_t index = 0; index < values.size(); ++index) {
      values.data()[index] = static_cast<float>(index * 2654435761U % 8192) / 3.0F;
      valid.data()[index] = index % 97 == 0 ? 0 : 1;
    }
    grid.rows = 518;
    grid.columns = 1030;
    grid.georeferenced = true;
    grid.geotransform = {500000, 250, 0, 9000000, 0, -250};
    OGRSpatialReference crs;
    crs.importFromEPSG(32622);
    char* wkt = nullptr;
    crs.exportToWkt(&wkt);
    grid.crs_wkt = wkt;
    CPLFree(wkt);
    options.band_names = {"radiance", "spread"};
    options.units = "nW cm-2 sr-1";
    options.metadata = {{"DEEPLIGHT_MODEL", "none"}};
  }

  void write(RasterSink& sink) const {
    for (std::int64_t row = 0; row < grid.rows; row += sink.block()) {
      const std::int64_t rows = std::min(sink.block(), grid.rows - row);
      ValueArray part = make_array<ValueArray>(2, rows, grid.columns);
      ValidArray mask = make_array<ValidArray>(2, rows, grid.columns);
      for (std::int64_t band = 0; band < 2; ++band) {
        const std::int64_t from = (band * grid.rows + row) * grid.columns;
        std::copy_n(values.data() + from, rows * grid.columns,
                    part.data() + band * rows * grid.columns);
        std::copy_n(valid.data() + from, rows * grid.columns,
                    mask.data() + band * rows * grid.columns);
      }
      sink.write({row, 0, rows, grid.columns}, part, mask);
    }
    sink.close();
  }

  bool equals(const Block& block) const {
    if (block.values.shape() != values.shape()) return false;
    for (std::size_t index = 0; index < values.size(); ++index) {
      if (block.valid.data()[index] != valid.data()[index]) return false;
      if (valid.data()[index] == 1 && block.values.data()[index] != values.data()[index]) {
        return false;
      }
    }
    return true;
  }
};

}  // namespace deeplight::test
