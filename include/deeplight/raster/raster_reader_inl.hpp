// Definitions of raster_reader.hpp.
#pragma once

#include <gdal_priv.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <new>
#include <numeric>
#include <system_error>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/gdal_errors.hpp"
#include "deeplight/raster/observations.hpp"
#include "deeplight/raster/raster_description_inl.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "deeplight/raster/raster_source_inl.hpp"

namespace deeplight {

namespace detail {

inline std::shared_ptr<void> open_for_reading(const std::string& name) {
  GDALDatasetH dataset = GDALOpenEx(name.c_str(), GDAL_OF_RASTER | GDAL_OF_READONLY,
                                    allowed_drivers, nullptr, nullptr);
  if (dataset == nullptr) return nullptr;
  return {dataset, [](void* open) {
            const GdalErrors quiet;
            GDALClose(open);
          }};
}

/// A GeoTIFF that seems to have neither mask nor overviews nor further images.
inline bool is_plain_tiff(const std::shared_ptr<void>& open) {
  if (open == nullptr) return false;
  GDALDataset& dataset = *static_cast<GDALDataset*>(open.get());
  if (dataset.GetDriver() == nullptr || dataset.GetRasterCount() == 0 ||
      std::string_view(dataset.GetDriver()->GetDescription()) != "GTiff") {
    return false;
  }
  GDALRasterBand& band = *dataset.GetRasterBand(1);
  return (band.GetMaskFlags() & GMF_PER_DATASET) == 0 && band.GetOverviewCount() == 0 &&
         dataset.GetMetadata("SUBDATASETS") == nullptr;
}

}  // namespace detail

struct RasterReader::State {
  std::shared_ptr<void> dataset;
  RasterInfo info;
  RasterLimits limits;
  std::vector<int> numbers;  // GDAL's band numbers of info.bands
  ReadWindow read_window;    // of a composed raster, which has no dataset of its own
  mutable std::mutex mutex;  // a GDAL dataset belongs to one thread at a time

  GDALDataset& gdal() const { return *static_cast<GDALDataset*>(dataset.get()); }
  void read_values(const Window& window, std::vector<int>& bands, ValueArray& values) const;
  void read_validity(const Window& window, const std::vector<int>& bands, ValidArray& valid) const;
  [[noreturn]] void report_failure(const Window& window, const std::vector<int>& bands,
                                   const std::string& reason) const;
};

DEEPLIGHT_INLINE RasterReader::RasterReader(const std::filesystem::path& path,
                                            const RasterLimits& limits) try {
  const std::string name = path.string();
  if (const auto parts = raster_parts(path); parts.size() > 1) {
    std::vector<RasterReader> readers;
    for (const std::filesystem::path& part : parts) readers.emplace_back(part, limits);
    *this = stack(std::move(readers), limits);
    return;
  }
  check_raster_name(name);
  std::error_code error;
  const bool driver_name = is_gdal_name(name);
  require<FileError>(driver_name || std::filesystem::exists(path, error), "raster '", name,
                     "' does not exist");
  check_vrt_sources(name);
  GdalErrors errors;
  const std::shared_ptr<void> dataset = detail::open_for_reading(name);
  if (dataset == nullptr) {
    require<FormatError>(!std::filesystem::is_directory(path, error), "'", name,
                         "' is a folder, not a raster");
    std::FILE* file = driver_name ? nullptr : std::fopen(name.c_str(), "rb");
    require<FileError>(driver_name || file != nullptr, "raster '", name,
                       "' cannot be read: ", std::generic_category().message(errno));
    if (file != nullptr) std::fclose(file);
    throw FormatError(concat("'", name, "' is not a raster in a format that deeplight reads, or it",
                             " is damaged (GDAL: ", errors.text(), ")"));
  }
  if (detail::is_plain_tiff(dataset)) {
    // libtiff takes a link to the next directory that it cannot read for the end of the file: a
    // mask would be overlooked. Nothing but a second look tells.
    const std::shared_ptr<void> again = detail::open_for_reading(name);
    require<FormatError>(again != nullptr && detail::is_plain_tiff(again), "'", name,
                         "' shows another content each time; reading it fails");
  }
  require<FormatError>(!errors.failed(), "'", name,
                       "' cannot be described; it is truncated or damaged (GDAL: ", errors.text(),
                       ")");
  *this = adopt(dataset, name, limits);
} catch (const std::bad_alloc&) {
  throw OutOfMemory(concat("no memory to open '", path.string(), "'"));
}

DEEPLIGHT_INLINE RasterReader RasterReader::adopt(std::shared_ptr<void> dataset,
                                                  const std::string& name,
                                                  const RasterLimits& limits) {
  require(dataset != nullptr, "no GDAL dataset given for '", name, "'");
  GdalErrors errors;
  auto state = std::make_shared<State>();
  state->dataset = std::move(dataset);
  state->limits = limits;
  GDALDataset& gdal = state->gdal();
  const int count = gdal.GetRasterCount();
  if (count == 0) {
    const std::string parts = detail::subdatasets(gdal);
    throw FormatError(concat("'", name, "' has no raster bands of its own",
                             parts.empty() ? "" : "; open one of its parts: ", parts));
  }
  require<FormatError>(count <= limits.bands, "'", name, "' claims ", count,
                       " bands, the limit is ", limits.bands);
  state->info = detail::describe(gdal, name);
  RasterInfo& info = state->info;
  require<FormatError>(info.grid.rows >= 1 && info.grid.columns >= 1 &&
                           info.grid.rows <= limits.pixels / info.grid.columns,
                       "'", name, "' claims ", info.grid.size_text(), " pixels, the limit is ",
                       limits.pixels);
  int block_columns = 0, block_rows = 0;
  gdal.GetRasterBand(1)->GetBlockSize(&block_columns, &block_rows);
  info.block_rows = block_rows;
  info.block_columns = block_columns;
  for (int number = 1; number <= count; ++number) {
    GDALRasterBand& band = *gdal.GetRasterBand(number);
    const GDALDataType type = band.GetRasterDataType();
    const std::int64_t block_bytes =
        std::int64_t{block_rows} * block_columns * GDALGetDataTypeSizeBytes(type);
    require<FormatError>(block_bytes <= limits.block_bytes, "'", name, "' has blocks of ",
                         block_columns, "x", block_rows, " pixels (", block_bytes,
                         " bytes), the limit is ", limits.block_bytes,
                         " bytes; rewrite it tiled: gdal_translate -co TILED=YES");
    require<FormatError>(GDALDataTypeIsComplex(type) == 0, "band ", number, " of '", name,
                         "' holds complex numbers (", detail::stored_type(type),
                         "); real numbers are needed");
    if (count > 1 && band.GetColorInterpretation() == GCI_AlphaBand) {
      info.has_alpha = true;
      continue;
    }
    info.bands.push_back(detail::describe_band(gdal, band));
    state->numbers.push_back(number);
  }
  gdal.GetRasterBand(1)->GetMaskFlags();  // looks for masks, which may fail
  require<FormatError>(!errors.failed(), "'", name,
                       "' cannot be described; it is truncated or damaged (GDAL: ", errors.text(),
                       ")");
  require<FormatError>(!info.bands.empty(), "'", name, "' has only alpha bands");
  detail::check_expansion(gdal, info, limits);
  RasterReader reader;
  reader.state_ = std::move(state);
  return reader;
}

DEEPLIGHT_INLINE const RasterInfo& RasterReader::info() const {
  return state_->info;
}

DEEPLIGHT_INLINE std::vector<std::int64_t> RasterReader::check_read(
    const Window& window, std::vector<std::int64_t> bands) const {
  const RasterInfo& info = state_->info;
  require(window.row >= 0 && window.column >= 0 && window.rows >= 1 && window.columns >= 1 &&
              window.rows <= info.grid.rows && window.columns <= info.grid.columns &&
              window.row <= info.grid.rows - window.rows &&
              window.column <= info.grid.columns - window.columns,
          "window of ", window.columns, "x", window.rows, " pixels at row ", window.row,
          ", column ", window.column, " leaves '", info.path, "' of ", info.grid.size_text(),
          " pixels");
  if (bands.empty()) {
    bands.resize(info.bands.size());
    std::iota(bands.begin(), bands.end(), std::int64_t{0});
  }
  for (const std::int64_t band : bands) {
    require(band >= 0 && band < static_cast<std::int64_t>(info.bands.size()), "band ", band,
            " (counted from 0) of '", info.path, "', which has ", info.bands.size());
  }
  const auto count = static_cast<std::int64_t>(bands.size());
  constexpr std::int64_t bytes_each = sizeof(float) + sizeof(std::uint8_t);
  require(window.rows <= state_->limits.read_bytes / bytes_each / count / window.columns,
          "reading ", count, " bands of ", window.columns, "x", window.rows, " pixels of '",
          info.path, "' at once needs more than the limit of ", state_->limits.read_bytes,
          " bytes; read smaller windows");
  return bands;
}

DEEPLIGHT_INLINE Block RasterReader::read(const Window& window,
                                          const std::vector<std::int64_t>& bands) const {
  Block block;
  read_into(window, bands, block);
  return block;
}

DEEPLIGHT_INLINE void RasterReader::read(const Window& window, Block& block) const {
  read_into(window, {}, block);
}

DEEPLIGHT_INLINE void RasterReader::read_into(const Window& window,
                                              const std::vector<std::int64_t>& bands,
                                              Block& block) const {
  const RasterInfo& info = state_->info;
  const std::vector<std::int64_t> chosen = check_read(window, bands);
  if (state_->read_window) {
    block = state_->read_window(window, chosen);
    return;
  }
  std::vector<int> numbers;
  for (const std::int64_t band : chosen) {
    numbers.push_back(state_->numbers[static_cast<std::size_t>(band)]);
  }
  const auto count = static_cast<std::int64_t>(numbers.size());
  const auto fit = [&](auto& array) {
    const auto is = [&](std::size_t side, std::int64_t length) {
      return array.shape(side) == static_cast<std::size_t>(length);
    };
    if (is(0, count) && is(1, window.rows) && is(2, window.columns)) return;
    array = make_array<std::decay_t<decltype(array)>>(count, window.rows, window.columns);
  };
  try {
    fit(block.values);
    fit(block.valid);
    const std::lock_guard lock(state_->mutex);
    state_->read_values(window, numbers, block.values);
    state_->read_validity(window, numbers, block.valid);
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(concat("no memory for ", count, " bands of ", window.columns, "x",
                             window.rows, " pixels of '", info.path, "'"));
  }
  const std::int64_t pixels = window.rows * window.columns;
  for (std::int64_t index = 0; index < count; ++index) {
    detail::to_observations(info.bands[static_cast<std::size_t>(chosen[index])],
                            block.values.data() + index * pixels,
                            block.valid.data() + index * pixels, pixels);
  }
}

DEEPLIGHT_INLINE void RasterReader::State::read_values(const Window& window,
                                                       std::vector<int>& bands,
                                                       ValueArray& values) const {
  GdalErrors errors;
  const CPLErr result = gdal().RasterIO(
      GF_Read, static_cast<int>(window.column), static_cast<int>(window.row),
      static_cast<int>(window.columns), static_cast<int>(window.rows), values.data(),
      static_cast<int>(window.columns), static_cast<int>(window.rows), GDT_Float32,
      static_cast<int>(bands.size()), bands.data(), 0, 0, 0, nullptr);
  if (result != CE_None || errors.failed()) report_failure(window, bands, errors.text());
}

DEEPLIGHT_INLINE void RasterReader::State::read_validity(const Window& window,
                                                         const std::vector<int>& bands,
                                                         ValidArray& valid) const {
  GdalErrors errors;
  const std::int64_t pixels = window.rows * window.columns;
  const std::uint8_t* shared = nullptr;
  for (std::size_t index = 0; index < bands.size(); ++index) {
    GDALRasterBand& band = *gdal().GetRasterBand(bands[index]);
    std::uint8_t* target = valid.data() + static_cast<std::int64_t>(index) * pixels;
    const int flags = band.GetMaskFlags();
    require<FormatError>(!errors.failed(), "the mask of band ", bands[index], " of '", info.path,
                         "' cannot be read; it is truncated or damaged (GDAL: ", errors.text(),
                         ")");
    if ((flags & GMF_ALL_VALID) != 0) {
      std::fill_n(target, pixels, std::uint8_t{1});
    } else if ((flags & GMF_PER_DATASET) != 0 && shared != nullptr) {
      std::copy_n(shared, pixels, target);
    } else {
      const CPLErr result = band.GetMaskBand()->RasterIO(
          GF_Read, static_cast<int>(window.column), static_cast<int>(window.row),
          static_cast<int>(window.columns), static_cast<int>(window.rows), target,
          static_cast<int>(window.columns), static_cast<int>(window.rows), GDT_Byte, 0, 0, nullptr);
      require<FormatError>(
          result == CE_None && !errors.failed(), "the mask of band ", bands[index], " of '",
          info.path, "' cannot be read; it is truncated or damaged (GDAL: ", errors.text(), ")");
      if ((flags & GMF_PER_DATASET) != 0) shared = target;
    }
  }
}

DEEPLIGHT_INLINE void RasterReader::State::report_failure(const Window& window,
                                                          const std::vector<int>& bands,
                                                          const std::string& reason) const {
  const GdalErrors quiet;
  std::string place;
  std::vector<std::uint8_t> buffer;
  for (const int number : bands) {
    GDALRasterBand& band = *gdal().GetRasterBand(number);
    const std::int64_t bytes =
        info.block_rows * info.block_columns * GDALGetDataTypeSizeBytes(band.GetRasterDataType());
    buffer.resize(static_cast<std::size_t>(bytes));
    for (std::int64_t row = window.row / info.block_rows;
         place.empty() && row * info.block_rows < window.row + window.rows; ++row) {
      for (std::int64_t column = window.column / info.block_columns;
           place.empty() && column * info.block_columns < window.column + window.columns;
           ++column) {
        if (band.ReadBlock(static_cast<int>(column), static_cast<int>(row), buffer.data()) !=
            CE_None) {
          place = concat("block (row ", row, ", column ", column, ") of band ", number, " of ");
        }
      }
    }
    if (!place.empty()) break;
  }
  throw FormatError(concat(place, "'", info.path,
                           "' cannot be read; the file is truncated or damaged (GDAL: ", reason,
                           ")"));
}

}  // namespace deeplight

#include "deeplight/raster/raster_compose_inl.hpp"
