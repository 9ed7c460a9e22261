// Definitions of infer/zone_labels.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <gdal_alg.h>
#include <gdal_priv.h>
#include <ogrsf_frmts.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/infer/zone_labels.hpp"
#include "deeplight/raster/alignment.hpp"
#include "deeplight/raster/gdal_errors.hpp"

namespace deeplight {
namespace detail {

struct CloseDataset {
  void operator()(GDALDataset* dataset) const { GDALClose(dataset); }
};
using OpenDataset = std::unique_ptr<GDALDataset, CloseDataset>;

inline at::Tensor read_zone_raster(const RasterReader& reader, const Window& window) {
  const std::vector<std::uint32_t> bits = reader.read_bits(window);
  const BandInfo& band = reader.info().bands.front();
  const bool is_signed = band.dtype.rfind("int", 0) == 0 || band.dtype.rfind("Int", 0) == 0;
  at::Tensor labels = at::empty({window.rows, window.columns}, at::kLong);
  std::int64_t* out = labels.data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const std::int64_t value =
        is_signed ? static_cast<std::int32_t>(bits[i]) : static_cast<std::int64_t>(bits[i]);
    const bool nodata = band.nodata && static_cast<double>(value) == *band.nodata;
    out[i] = nodata || value < 1 ? 0 : value;
  }
  return labels;
}

inline ZoneLabels zones_of_raster(const std::filesystem::path& path, const RasterInfo& truth) {
  const RasterReader reader(path);
  check_guide(truth, reader.info(), "zones", 1);
  std::set<std::int64_t> found;
  const Grid& grid = reader.grid();
  const std::int64_t step = std::max<std::int64_t>(1, (std::int64_t{1} << 21) / grid.columns);
  for (std::int64_t row = 0; row < grid.rows; row += step) {
    const at::Tensor labels =
        read_zone_raster(reader, {row, 0, std::min(step, grid.rows - row), grid.columns});
    const std::int64_t* values = labels.const_data_ptr<std::int64_t>();
    std::int64_t last = 0;
    for (std::int64_t i = 0; i < labels.numel(); ++i) {
      if (values[i] != last && values[i] > 0) found.insert(values[i]);
      last = values[i];
    }
  }
  require<FormatError>(!found.empty(), "the zones '", path.string(),
                       "' hold no label above 0; one integer above 0 names a zone");
  return {{found.begin(), found.end()},
          [reader](const Window& window) { return read_zone_raster(reader, window); }};
}

/// Polygons of the first layer in the coordinate system of `grid`.
inline std::vector<std::shared_ptr<OGRGeometry>> read_polygons(GDALDataset& dataset,
                                                               const std::string& name,
                                                               const Grid& grid) {
  OGRLayer* layer = dataset.GetLayer(0);
  require<FormatError>(layer != nullptr, "the zones '", name, "' have no layer");
  std::unique_ptr<OGRCoordinateTransformation> transform;
  const OGRSpatialReference* from = layer->GetSpatialRef();
  if (from != nullptr || !grid.crs_wkt.empty()) {
    require<GridMismatch>(from != nullptr && !grid.crs_wkt.empty(), "the zones '", name, "' have ",
                          from != nullptr ? "a" : "no", " coordinate system, the truth has ",
                          grid.crs_wkt.empty() ? "none" : "one", "; give both the same");
    OGRSpatialReference source(*from), target;
    target.importFromWkt(grid.crs_wkt.c_str());
    source.SetAxisMappingStrategy(OAMS_TRADITIONAL_GIS_ORDER);
    target.SetAxisMappingStrategy(OAMS_TRADITIONAL_GIS_ORDER);
    if (source.IsSame(&target) == 0) {
      transform.reset(OGRCreateCoordinateTransformation(&source, &target));
      require<GridMismatch>(transform != nullptr, "the zones '", name,
                            "' cannot be brought into the truth's coordinate system");
    }
  }
  std::vector<std::shared_ptr<OGRGeometry>> polygons;
  for (const auto& feature : *layer) {
    const OGRGeometry* geometry = feature->GetGeometryRef();
    const bool area =
        geometry != nullptr && (wkbFlatten(geometry->getGeometryType()) == wkbPolygon ||
                                wkbFlatten(geometry->getGeometryType()) == wkbMultiPolygon);
    require<FormatError>(area, "the zones '", name, "': feature ", polygons.size() + 1,
                         " is no polygon");
    std::shared_ptr<OGRGeometry> copy(geometry->clone(), OGRGeometryFactory::destroyGeometry);
    require<FormatError>(transform == nullptr || copy->transform(transform.get()) == OGRERR_NONE,
                         "the zones '", name, "': feature ", polygons.size() + 1,
                         " has no place in the truth's coordinate system");
    polygons.push_back(std::move(copy));
  }
  require<FormatError>(!polygons.empty(), "the zones '", name, "' have no feature");
  return polygons;
}

inline at::Tensor draw_polygons(const std::vector<std::shared_ptr<OGRGeometry>>& polygons,
                                const Grid& grid, const Window& window) {
  const GdalErrors errors;
  at::Tensor drawn = at::empty({window.rows, window.columns}, at::kInt).zero_();
  GDALDriver* memory = GetGDALDriverManager()->GetDriverByName("MEM");
  const OpenDataset canvas(memory->Create("", static_cast<int>(window.columns),
                                          static_cast<int>(window.rows), 1, GDT_Int32, nullptr));
  require<FileError>(canvas != nullptr, "no memory for ", window.rows, "x", window.columns,
                     " pixels of zones");
  Grid part = grid.cropped(window);
  canvas->SetGeoTransform(part.geotransform.data());
  std::vector<OGRGeometryH> shapes;
  std::vector<double> values;
  for (std::size_t i = 0; i < polygons.size(); ++i) {
    shapes.push_back(OGRGeometry::ToHandle(polygons[i].get()));
    values.push_back(static_cast<double>(i + 1));
  }
  int band = 1;
  const CPLErr outcome = GDALRasterizeGeometries(
      GDALDataset::ToHandle(canvas.get()), 1, &band, static_cast<int>(shapes.size()), shapes.data(),
      nullptr, nullptr, values.data(), nullptr, nullptr, nullptr);
  require<FormatError>(outcome == CE_None, "the zones cannot be drawn: ", errors.text());
  const CPLErr got = canvas->GetRasterBand(1)->RasterIO(
      GF_Read, 0, 0, static_cast<int>(window.columns), static_cast<int>(window.rows),
      drawn.data_ptr<int>(), static_cast<int>(window.columns), static_cast<int>(window.rows),
      GDT_Int32, 0, 0, nullptr);
  require<FormatError>(got == CE_None, "the zones cannot be drawn: ", errors.text());
  return drawn.to(at::kLong);
}

}  // namespace detail

DEEPLIGHT_INLINE ZoneLabels open_zones(const std::filesystem::path& path, const RasterInfo& truth) {
  const GdalErrors errors;
  require<FileError>(std::filesystem::exists(path), "the zones '", path.string(), "' do not exist");
  static constexpr const char* drivers[] = {"GeoJSON", "GPKG", "ESRI Shapefile", "FlatGeobuf",
                                            nullptr};
  const detail::OpenDataset vector(GDALDataset::Open(
      path.string().c_str(), GDAL_OF_VECTOR | GDAL_OF_READONLY, drivers, nullptr, nullptr));
  if (vector == nullptr || vector->GetLayerCount() == 0) {
    return detail::zones_of_raster(path, truth);
  }
  ZoneLabels zones;
  const auto polygons = detail::read_polygons(*vector, path.string(), truth.grid);
  for (std::size_t i = 1; i <= polygons.size(); ++i) {
    zones.labels.push_back(static_cast<std::int64_t>(i));
  }
  zones.read = [polygons, grid = truth.grid](const Window& window) {
    return detail::draw_polygons(polygons, grid, window);
  };
  return zones;
}

}  // namespace deeplight
