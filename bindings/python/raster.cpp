// Rasters as Python sees them: numpy arrays [bands, rows, columns] of values and of validity.
#include <gdal.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/raster/alignment.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "deeplight/raster/raster_writer.hpp"
#include "deeplight/raster/tile_plan.hpp"

namespace deeplight::python {
namespace {

namespace py = pybind11;
using namespace py::literals;
using Path = std::filesystem::path;
using WindowTuple = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using MaskArray = py::array_t<bool, py::array::c_style | py::array::forcecast>;

/// Hands an array to numpy without a copy.
template <class Element, class Array>
py::array to_numpy(Array&& array) {
  auto* owned = new Array(std::forward<Array>(array));
  const py::capsule owner(owned, [](void* pointer) { delete static_cast<Array*>(pointer); });
  std::vector<py::ssize_t> shape;
  for (const auto size : owned->shape()) shape.push_back(static_cast<py::ssize_t>(size));
  return py::array(py::dtype::of<Element>(), shape, reinterpret_cast<const Element*>(owned->data()),
                   owner);
}

template <class Array, class Numpy>
Array from_numpy(const Numpy& array, const char* what) {
  require(array.ndim() == 2 || array.ndim() == 3, what,
          " must be [rows, columns] or [bands, rows, columns], got ", array.ndim(), " dimensions");
  const bool single = array.ndim() == 2;
  Array result = make_array<Array>(single ? 1 : array.shape(0), array.shape(single ? 0 : 1),
                                   array.shape(single ? 1 : 2));
  std::copy_n(array.data(), array.size(), result.data());
  return result;
}

Window to_window(const WindowTuple& tuple) {
  return {std::get<0>(tuple), std::get<1>(tuple), std::get<2>(tuple), std::get<3>(tuple)};
}
WindowTuple to_tuple(const Window& window) {
  return {window.row, window.column, window.rows, window.columns};
}

py::tuple read(const RasterReader& self, const std::optional<WindowTuple>& window,
               const std::vector<std::int64_t>& bands) {
  Block block;
  {
    const py::gil_scoped_release release;
    const Window whole{0, 0, self.grid().rows, self.grid().columns};
    block = self.read(window ? to_window(*window) : whole, bands);
  }
  return py::make_tuple(to_numpy<float>(std::move(block.values)),
                        to_numpy<bool>(std::move(block.valid)));
}

void write(RasterWriter& self, const FloatArray& values, const std::optional<WindowTuple>& window,
           const std::optional<MaskArray>& valid) {
  const ValueArray block = from_numpy<ValueArray>(values, "values");
  std::optional<ValidArray> mask;
  if (valid) mask = from_numpy<ValidArray>(*valid, "valid");
  const Window whole{0, 0, static_cast<std::int64_t>(block.shape(1)),
                     static_cast<std::int64_t>(block.shape(2))};
  const py::gil_scoped_release release;
  self.write(window ? to_window(*window) : whole, block, mask ? &*mask : nullptr);
}

RasterWriterOptions writer_options(const std::string& compression, double nodata,
                                   std::vector<std::string> band_names, std::string units,
                                   std::map<std::string, std::string> metadata, bool overwrite,
                                   std::int64_t tile) {
  RasterWriterOptions options;
  options.compression = enum_from_string<Compression>(compression);
  options.nodata = nodata;
  options.band_names = std::move(band_names);
  options.units = std::move(units);
  options.metadata = std::move(metadata);
  options.overwrite = overwrite;
  options.tile = tile;
  return options;
}

void bind_grid(py::module_& module) {
  py::class_<Grid>(module, "Grid", py::module_local(), "Size and georeference of a raster.")
      .def(py::init([](std::int64_t rows, std::int64_t columns,
                       const std::optional<std::array<double, 6>>& geotransform,
                       const std::string& crs_wkt) {
             Grid grid;
             grid.rows = rows;
             grid.columns = columns;
             grid.crs_wkt = crs_wkt;
             grid.georeferenced = geotransform.has_value();
             if (geotransform) grid.geotransform = *geotransform;
             return grid;
           }),
           "rows"_a, "columns"_a, "geotransform"_a = py::none(), "crs_wkt"_a = "")
      .def_readonly("rows", &Grid::rows)
      .def_readonly("columns", &Grid::columns)
      .def_readonly("geotransform", &Grid::geotransform, "As GDAL orders it.")
      .def_readonly("crs_wkt", &Grid::crs_wkt)
      .def_readonly("georeferenced", &Grid::georeferenced)
      .def_property_readonly("crs", [](const Grid& self) { return crs_name(self.crs_wkt); })
      .def_property_readonly("cell_size", &Grid::cell_size)
      .def("refined", &Grid::refined, "scale"_a)
      .def(
          "cropped",
          [](const Grid& self, const WindowTuple& window) {
            return self.cropped(to_window(window));
          },
          "window"_a)
      .def("same_crs", [](const Grid& self,
                          const Grid& other) { return same_crs(self.crs_wkt, other.crs_wkt); })
      .def("__repr__", [](const Grid& self) { return "Grid(" + self.text() + ")"; });
}

void bind_info(py::module_& module) {
  py::class_<BandInfo>(module, "BandInfo", py::module_local(), "What a file states about a band.")
      .def_readonly("name", &BandInfo::name)
      .def_readonly("units", &BandInfo::units)
      .def_readonly("dtype", &BandInfo::dtype, "As stored; values are read as float32.")
      .def_readonly("color", &BandInfo::color)
      .def_readonly("nodata", &BandInfo::nodata)
      .def_readonly("scale", &BandInfo::scale)
      .def_readonly("offset", &BandInfo::offset)
      .def("__repr__", [](const BandInfo& self) {
        return concat("BandInfo('", self.name, "', ", self.dtype, ")");
      });
  py::class_<RasterInfo>(module, "RasterInfo", py::module_local(),
                         "What a raster file states about itself.")
      .def_readonly("path", &RasterInfo::path)
      .def_readonly("driver", &RasterInfo::driver)
      .def_readonly("grid", &RasterInfo::grid)
      .def_readonly("bands", &RasterInfo::bands, "Without alpha.")
      .def_readonly("has_alpha", &RasterInfo::has_alpha)
      .def_property_readonly("block",
                             [](const RasterInfo& self) {
                               return std::make_pair(self.block_rows, self.block_columns);
                             })
      .def_readonly("metadata", &RasterInfo::metadata)
      .def("__repr__", &RasterInfo::text);
}

void bind_reader(py::module_& module) {
  const auto release = py::call_guard<py::gil_scoped_release>();
  py::class_<RasterReader>(module, "Raster", py::module_local(),
                           "An open raster; close it by forgetting it.")
      .def(py::init([](const Path& path) { return RasterReader(path); }), "path"_a, release)
      .def_property_readonly("info", &RasterReader::info)
      .def_property_readonly("grid", &RasterReader::grid)
      .def(
          "read", &read, "window"_a = py::none(), "bands"_a = std::vector<std::int64_t>{},
          "(values float32, valid bool), both [bands, rows, columns]; values are 0 where invalid.\n"
          "window is (row, column, rows, columns); bands count from 0.")
      .def("__repr__", [](const RasterReader& self) { return self.info().text(); });
  module.def(
      "raster_info", [](const Path& path) { return raster_info(path); }, "path"_a, release,
      "Description of a raster file.");
  module.def("check_guide", &check_guide, "low_resolution"_a, "guide"_a, "name"_a, "scale"_a,
             release, "Raises ValueError unless the guide lies on the grid scale times finer.");
  module.def(
      "align_guide",
      [](const Path& guide, const Grid& low_resolution, std::int64_t scale,
         const std::string& resampling) {
        return align_guide(guide, low_resolution, scale, enum_from_string<Resampling>(resampling));
      },
      "guide"_a, "low_resolution"_a, "scale"_a, "resampling"_a = "automatic", release,
      "The guide warped onto the fine grid, computed while it is read.");
}

void bind_writer(py::module_& module) {
  const auto release = py::call_guard<py::gil_scoped_release>();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::map<std::string, std::string> nothing;
  py::class_<RasterWriter>(module, "RasterWriter", py::module_local(),
                           "A float32 GeoTIFF that has its name only once close() returned.")
      .def(py::init([](const Path& path, const Grid& grid, std::int64_t bands,
                       const std::string& compression, double nodata,
                       std::vector<std::string> band_names, std::string units,
                       std::map<std::string, std::string> metadata, bool overwrite,
                       std::int64_t tile) {
             return RasterWriter(
                 path, grid, bands,
                 writer_options(compression, nodata, std::move(band_names), std::move(units),
                                std::move(metadata), overwrite, tile));
           }),
           "path"_a, "grid"_a, "bands"_a = 1, "compression"_a = "deflate", "nodata"_a = nan,
           "band_names"_a = std::vector<std::string>{}, "units"_a = "", "metadata"_a = nothing,
           "overwrite"_a = false, "tile"_a = 256)
      .def("write", &write, "values"_a, "window"_a = py::none(), "valid"_a = py::none())
      .def("close", &RasterWriter::close, release);
  module.def(
      "write_raster",
      [](const Path& path, const FloatArray& values, const Grid& grid,
         const std::optional<MaskArray>& valid, const std::string& compression, double nodata,
         std::vector<std::string> band_names, std::string units,
         std::map<std::string, std::string> metadata, bool overwrite) {
        const std::int64_t bands = values.ndim() == 3 ? values.shape(0) : 1;
        RasterWriter writer(path, grid, bands,
                            writer_options(compression, nodata, std::move(band_names),
                                           std::move(units), std::move(metadata), overwrite, 256));
        write(writer, values, std::nullopt, valid);
        const py::gil_scoped_release unlocked;
        writer.close();
      },
      "path"_a, "values"_a, "grid"_a, "valid"_a = py::none(), "compression"_a = "deflate",
      "nodata"_a = nan, "band_names"_a = std::vector<std::string>{}, "units"_a = "",
      "metadata"_a = nothing, "overwrite"_a = false,
      "Writes [rows, columns] or [bands, rows, columns] as one float32 GeoTIFF.");
  module.def("needs_bigtiff", &needs_bigtiff, "rows"_a, "columns"_a, "bands"_a, "tile"_a = 256);
  module.def(
      "tile_plan",
      [](std::int64_t rows, std::int64_t columns, std::int64_t tile, std::int64_t halo,
         std::int64_t multiple) {
        const TilePlan plan(rows, columns, tile, halo, multiple);
        std::vector<std::pair<WindowTuple, WindowTuple>> tiles;
        for (std::int64_t index = 0; index < plan.size(); ++index) {
          tiles.emplace_back(to_tuple(plan[index].owner), to_tuple(plan[index].read));
        }
        return tiles;
      },
      "rows"_a, "columns"_a, "tile"_a, "halo"_a, "multiple"_a = 1,
      "List of (owner, read) windows (row, column, rows, columns); every pixel has one owner.");
}

}  // namespace

void bind_raster(py::module_& module) {
  module.def("gdal_version", [] { return std::string(GDALVersionInfo("RELEASE_NAME")); });
  bind_grid(module);
  bind_info(module);
  bind_reader(module);
  bind_writer(module);
}

}  // namespace deeplight::python
