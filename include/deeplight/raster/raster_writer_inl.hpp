// Definitions of raster_writer.hpp.
#pragma once

#include <cpl_string.h>
#include <gdal_priv.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <unistd.h>
#endif

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/gdal_errors.hpp"
#include "deeplight/raster/raster_writer.hpp"

namespace deeplight {

namespace detail {

inline std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// A name in the same folder that no other process or writer uses.
inline std::filesystem::path temporary_name(const std::filesystem::path& path) {
  static std::atomic<std::uint64_t> counter{0};
#if defined(__unix__) || defined(__APPLE__)
  const auto process = static_cast<long>(::getpid());
#else
  const long process = 0;
#endif
  return folder_of(path) /
         concat(".", path.filename().string(), ".", process, "-", counter++, ".part.tif");
}

/// Hands the content to the disk; false with errno where it refuses.
inline bool sync_file(const std::filesystem::path& path) {
#if defined(__unix__) || defined(__APPLE__)
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool synced = ::fsync(file) == 0 || errno == EINVAL || errno == EROFS;
  const int reason = errno;
  ::close(file);
  errno = reason;
  return synced;
#else
  return true;
#endif
}

/// Every tile of the closed file lies inside it: GDAL reports some failed writes nowhere.
inline std::string missing_tile(const std::filesystem::path& path) {
  GdalErrors errors;
  const char* const drivers[] = {"GTiff", nullptr};
  const std::shared_ptr<void> open(
      GDALOpenEx(path.string().c_str(), GDAL_OF_RASTER, drivers, nullptr, nullptr),
      [](void* dataset) {
        if (dataset != nullptr) GDALClose(dataset);
      });
  if (open == nullptr) return "it cannot be opened again: " + errors.text();
  GDALDataset& dataset = *static_cast<GDALDataset*>(open.get());
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  int width = 0, height = 0;
  dataset.GetRasterBand(1)->GetBlockSize(&width, &height);
  for (int band = 1; band <= dataset.GetRasterCount(); ++band) {
    for (int row = 0; std::int64_t{row} * height < dataset.GetRasterYSize(); ++row) {
      for (int column = 0; std::int64_t{column} * width < dataset.GetRasterXSize(); ++column) {
        GDALRasterBand& data = *dataset.GetRasterBand(band);
        const std::string name = concat(column, "_", row);
        const char* offset = data.GetMetadataItem(("BLOCK_OFFSET_" + name).c_str(), "TIFF");
        const char* bytes = data.GetMetadataItem(("BLOCK_SIZE_" + name).c_str(), "TIFF");
        const bool whole =
            offset != nullptr && bytes != nullptr &&
            std::strtoull(offset, nullptr, 10) + std::strtoull(bytes, nullptr, 10) <= size;
        if (!whole) return concat("tile (row ", row, ", column ", column, ") is missing");
      }
    }
  }
  return "";
}

}  // namespace detail

struct RasterWriter::State {
  std::filesystem::path path;
  std::filesystem::path temporary;
  Grid grid;
  RasterWriterOptions options;
  GDALDataset* dataset = nullptr;
  std::int64_t bands = 1;

  ~State() { discard(); }

  void discard() {
    const GdalErrors quiet;
    if (dataset != nullptr) GDALClose(std::exchange(dataset, nullptr));
    remove_temporary();
  }
  void remove_temporary() const {
    std::error_code ignored;
    if (temporary.empty()) return;
    std::filesystem::remove(temporary, ignored);
    std::filesystem::remove(temporary.string() + ".aux.xml", ignored);
  }
  [[noreturn]] void fail(const std::string& reason) {
    discard();
    throw FileError(
        concat("'", path.string(), "' cannot be written (", reason, "); nothing was left behind"));
  }
};

DEEPLIGHT_INLINE bool needs_bigtiff(std::int64_t rows, std::int64_t columns, std::int64_t bands,
                                    std::int64_t tile) {
  const double tiles = static_cast<double>((rows + tile - 1) / tile) *
                       static_cast<double>((columns + tile - 1) / tile) *
                       static_cast<double>(bands);
  const double bytes = tiles * static_cast<double>(tile * tile) * sizeof(float);
  constexpr double directory_entry = 16.0, header = 1 << 20, growth = 1.001;
  return bytes * growth + tiles * directory_entry + header > 4294967295.0;
}

DEEPLIGHT_INLINE void check_writable(const std::filesystem::path& path, bool overwrite) {
  std::error_code error;
  const std::filesystem::path folder = detail::folder_of(path);
  require<FileError>(path.has_filename(), "output '", path.string(), "' names no file");
  require<FileError>(std::filesystem::is_directory(folder, error), "the folder '", folder.string(),
                     "' of output '", path.string(), "' does not exist");
  require<FileError>(!std::filesystem::is_directory(path, error), "output '", path.string(),
                     "' is a folder");
  require<FileError>(overwrite || !std::filesystem::exists(path, error), "output '", path.string(),
                     "' exists already; remove it or ask for it to be overwritten");
#if defined(__unix__) || defined(__APPLE__)
  require<FileError>(::access(folder.c_str(), W_OK | X_OK) == 0, "the folder '", folder.string(),
                     "' of output '", path.string(),
                     "' is not writable: ", std::generic_category().message(errno));
#endif
}

DEEPLIGHT_INLINE RasterWriter::RasterWriter(const std::filesystem::path& path, const Grid& grid,
                                            std::int64_t bands, const RasterWriterOptions& options)
    : state_(std::make_unique<State>()) {
  constexpr std::int64_t largest = 2147483647;
  require(grid.rows >= 1 && grid.columns >= 1 && grid.rows <= largest && grid.columns <= largest,
          "a raster of ", grid.size_text(), " pixels cannot be written to '", path.string(), "'");
  require(bands >= 1 && bands <= 65535, "a raster of ", bands, " bands cannot be written");
  require(options.tile >= 16 && options.tile % 16 == 0,
          "the tile of a GeoTIFF must be a positive multiple of 16, got ", options.tile);
  require(
      options.band_names.empty() || static_cast<std::int64_t>(options.band_names.size()) == bands,
      options.band_names.size(), " band names for ", bands, " bands");
  check_writable(path, options.overwrite);
  state_->path = path;
  state_->temporary = detail::temporary_name(path);
  state_->grid = grid;
  state_->options = options;
  state_->bands = bands;

  GdalErrors errors;
  GDALDriver* driver = GetGDALDriverManager()->GetDriverByName("GTiff");
  require<FileError>(driver != nullptr, "this GDAL has no GeoTIFF driver");
  CPLStringList creation;
  const std::string tile = concat(options.tile);
  creation.SetNameValue("TILED", "YES");
  creation.SetNameValue("BLOCKXSIZE", tile.c_str());
  creation.SetNameValue("BLOCKYSIZE", tile.c_str());
  creation.SetNameValue("INTERLEAVE", "BAND");
  creation.SetNameValue("BIGTIFF",
                        needs_bigtiff(grid.rows, grid.columns, bands, options.tile) ? "YES" : "NO");
  if (options.compression != Compression::none) {
    std::string name = enum_to_string(options.compression);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char letter) { return static_cast<char>(letter - 'a' + 'A'); });
    const char* known = driver->GetMetadataItem(GDAL_DMD_CREATIONOPTIONLIST);
    require(
        known != nullptr && std::string(known).find("<Value>" + name + "<") != std::string::npos,
        "this GDAL cannot write GeoTIFF with compression '", enum_to_string(options.compression),
        "'");
    creation.SetNameValue("COMPRESS", name.c_str());
    creation.SetNameValue("PREDICTOR", "3");
    // Of predicted floats the usual level 6 makes files 1 to 3 % smaller, in up to twice the time.
    if (options.compression == Compression::deflate) creation.SetNameValue("ZLEVEL", "1");
    if (options.threads > 1) {
      creation.SetNameValue("NUM_THREADS", concat(options.threads).c_str());
    }
  }
  state_->dataset = driver->Create(state_->temporary.string().c_str(),
                                   static_cast<int>(grid.columns), static_cast<int>(grid.rows),
                                   static_cast<int>(bands), GDT_Float32, creation.List());
  if (state_->dataset == nullptr) state_->fail("GDAL: " + errors.text());
  GDALDataset& dataset = *state_->dataset;
  if (grid.georeferenced) {
    std::array<double, 6> geotransform = grid.geotransform;
    dataset.SetGeoTransform(geotransform.data());
  }
  if (!grid.crs_wkt.empty()) {
    OGRSpatialReference crs;
    if (crs.importFromWkt(grid.crs_wkt.c_str()) == OGRERR_NONE) {
      crs.SetAxisMappingStrategy(OAMS_TRADITIONAL_GIS_ORDER);
      dataset.SetSpatialRef(&crs);
    }
  }
  for (const auto& [key, value] : options.metadata) {
    dataset.SetMetadataItem(key.c_str(), value.c_str());
  }
  for (std::int64_t index = 0; index < bands; ++index) {
    GDALRasterBand& band = *dataset.GetRasterBand(static_cast<int>(index + 1));
    band.SetNoDataValue(options.nodata);
    if (!options.band_names.empty()) {
      band.SetDescription(options.band_names[static_cast<std::size_t>(index)].c_str());
    }
    if (!options.units.empty()) band.SetUnitType(options.units.c_str());
  }
  if (errors.failed()) state_->fail("GDAL: " + errors.text());
}

DEEPLIGHT_INLINE RasterWriter::~RasterWriter() = default;
DEEPLIGHT_INLINE RasterWriter::RasterWriter(RasterWriter&&) noexcept = default;
DEEPLIGHT_INLINE RasterWriter& RasterWriter::operator=(RasterWriter&&) noexcept = default;

DEEPLIGHT_INLINE const std::filesystem::path& RasterWriter::path() const {
  return state_->path;
}

DEEPLIGHT_INLINE void RasterWriter::write(const Window& window, const ValueArray& values,
                                          const ValidArray* valid) {
  State& state = *state_;
  require(state.dataset != nullptr, "'", state.path.string(), "' is closed already");
  require(window.row >= 0 && window.column >= 0 && window.rows >= 1 && window.columns >= 1 &&
              window.row <= state.grid.rows - window.rows &&
              window.column <= state.grid.columns - window.columns,
          "window of ", window.columns, "x", window.rows, " pixels at row ", window.row,
          ", column ", window.column, " leaves '", state.path.string(), "' of ",
          state.grid.size_text(), " pixels");
  const auto matches = [&](const auto& array) {
    return static_cast<std::int64_t>(array.shape(0)) == state.bands &&
           static_cast<std::int64_t>(array.shape(1)) == window.rows &&
           static_cast<std::int64_t>(array.shape(2)) == window.columns;
  };
  require(matches(values) && (valid == nullptr || matches(*valid)), "values for '",
          state.path.string(), "' must be [", state.bands, ", ", window.rows, ", ", window.columns,
          "], got [", values.shape(0), ", ", values.shape(1), ", ", values.shape(2), "]");
  ValueArray marked;
  const float* source = values.data();
  if (valid != nullptr) {
    marked = values;
    const auto nodata = static_cast<float>(state.options.nodata);
    for (std::size_t index = 0; index < marked.size(); ++index) {
      if (valid->data()[index] == 0) marked.data()[index] = nodata;
    }
    source = marked.data();
  }
  GdalErrors errors;
  const CPLErr result = state.dataset->RasterIO(
      GF_Write, static_cast<int>(window.column), static_cast<int>(window.row),
      static_cast<int>(window.columns), static_cast<int>(window.rows), const_cast<float*>(source),
      static_cast<int>(window.columns), static_cast<int>(window.rows), GDT_Float32,
      static_cast<int>(state.bands), nullptr, 0, 0, 0, nullptr);
  if (result != CE_None || errors.failed()) state.fail("GDAL: " + errors.text());
}

DEEPLIGHT_INLINE void RasterWriter::set_metadata(const std::string& name,
                                                 const std::string& value) {
  require(state_->dataset != nullptr, "'", state_->path.string(), "' is closed already");
  const GdalErrors quiet;
  state_->dataset->SetMetadataItem(name.c_str(), value.c_str());
}

DEEPLIGHT_INLINE void RasterWriter::close() {
  State& state = *state_;
  require(state.dataset != nullptr, "'", state.path.string(), "' is closed already");
  GdalErrors errors;
  state.dataset->FlushCache(false);
  if (!errors.failed()) GDALClose(std::exchange(state.dataset, nullptr));
  if (errors.failed()) state.fail("GDAL: " + errors.text());
  if (const std::string missing = detail::missing_tile(state.temporary); !missing.empty()) {
    state.fail(missing);
  }
  if (!detail::sync_file(state.temporary)) state.fail(std::generic_category().message(errno));
  std::error_code error;
  std::filesystem::rename(state.temporary, state.path, error);
  if (error) state.fail(error.message());
  state.temporary.clear();
  // The name itself lasts only once the folder is on the disk; the content is there already.
  (void)detail::sync_file(detail::folder_of(state.path));
}

}  // namespace deeplight
