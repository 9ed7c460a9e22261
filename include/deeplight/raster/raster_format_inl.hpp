// Definitions of raster_format.hpp.
#pragma once

#include <cpl_string.h>
#include <gdal_priv.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/remove_tree.hpp"
#include "deeplight/raster/gdal_errors.hpp"
#include "deeplight/raster/raster_format.hpp"
#include "deeplight/raster/raster_writer_inl.hpp"

namespace deeplight {

namespace detail {

inline const char* driver_of(DerivedFormat format) {
  switch (format) {
    case DerivedFormat::cog:
      return "COG";
    case DerivedFormat::zarr:
      return "Zarr";
    default:
      return "GTiff";
  }
}

/// Name of a compression in a driver's options; empty where it has none of the kind.
inline std::string compression_name(DerivedFormat format, Compression compression) {
  if (compression == Compression::none) return "NONE";
  if (format == DerivedFormat::zarr && compression == Compression::deflate) return "ZLIB";
  std::string name = enum_to_string(compression);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char letter) { return static_cast<char>(letter - 'a' + 'A'); });
  return name;
}

inline void remove_output(const std::filesystem::path& path) {
  for (const char* tail : {"", ".aux.xml", ".ovr.tmp", ".msk.ovr.tmp", ".ovr"}) {
    remove_tree(path.string() + tail);
  }
}

/// Removes a path when it goes out of scope.
class Temporary {
 public:
  explicit Temporary(std::filesystem::path path) : path_(std::move(path)) {}
  ~Temporary() {
    if (!path_.empty()) remove_output(path_);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const std::filesystem::path& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  std::filesystem::path path_;
};

using DatasetPointer = std::unique_ptr<GDALDataset, void (*)(GDALDataset*)>;

/// @param access  GDAL's flags: rasters or arrays, to read or to update
inline DatasetPointer open_dataset(const std::filesystem::path& path, unsigned access) {
  return {
      GDALDataset::FromHandle(GDALOpenEx(path.string().c_str(), access, nullptr, nullptr, nullptr)),
      [](GDALDataset* dataset) {
        if (dataset != nullptr) GDALClose(dataset);
      }};
}

/// Overviews by halves until the longer side fits into a tile.
inline bool build_overviews(const std::filesystem::path& path, Compression compression) {
  const DatasetPointer dataset = open_dataset(path, GDAL_OF_RASTER | GDAL_OF_UPDATE);
  if (dataset == nullptr) return false;
  std::vector<int> factors;
  const int longest = std::max(dataset->GetRasterXSize(), dataset->GetRasterYSize());
  for (int factor = 2; longest / factor >= 128; factor *= 2) factors.push_back(factor);
  if (factors.empty()) return true;
  CPLSetThreadLocalConfigOption("COMPRESS_OVERVIEW",
                                compression_name(DerivedFormat::cog, compression).c_str());
  const CPLErr result =
      dataset->BuildOverviews("AVERAGE", static_cast<int>(factors.size()), factors.data(), 0,
                              nullptr, nullptr, nullptr, nullptr);
  CPLSetThreadLocalConfigOption("COMPRESS_OVERVIEW", nullptr);
  dataset->FlushCache(false);
  return result == CE_None;
}

/// The bands of a file; a Zarr of several has each in an array of its own.
inline std::vector<DatasetPointer> band_datasets(const std::filesystem::path& path) {
  std::vector<DatasetPointer> bands;
  DatasetPointer whole = open_dataset(path, GDAL_OF_RASTER);
  if (whole == nullptr) return bands;
  if (whole->GetRasterCount() > 0) {
    bands.push_back(std::move(whole));
    return bands;
  }
  char** list = whole->GetMetadata("SUBDATASETS");
  for (int index = 1;; ++index) {
    const char* name = CSLFetchNameValue(list, CPLSPrintf("SUBDATASET_%d_NAME", index));
    if (name == nullptr) return bands;
    // Beside the bands stand the coordinates.
    if (std::string(name).find("\":/Band") == std::string::npos) continue;
    bands.push_back(open_dataset(name, GDAL_OF_RASTER));
  }
}

/// Whether the copy holds the GeoTIFF's values: what a copy lost shows nowhere else.
inline bool same_values(const std::filesystem::path& source, const std::filesystem::path& copy) {
  const DatasetPointer first = open_dataset(source, GDAL_OF_RASTER);
  const std::vector<DatasetPointer> parts = band_datasets(copy);
  if (first == nullptr || parts.empty()) return false;
  const int rows = first->GetRasterYSize(), columns = first->GetRasterXSize();
  const int bands = first->GetRasterCount();
  const bool one = parts.size() == 1;
  if (!one && static_cast<int>(parts.size()) != bands) return false;
  std::vector<float> left(static_cast<std::size_t>(columns) * 256), right(left.size());
  for (int band = 1; band <= bands; ++band) {
    GDALDataset* second = parts[one ? 0 : static_cast<std::size_t>(band - 1)].get();
    if (second == nullptr || second->GetRasterYSize() != rows ||
        second->GetRasterXSize() != columns || second->GetRasterCount() != (one ? bands : 1)) {
      return false;
    }
    for (int row = 0; row < rows; row += 256) {
      const int height = std::min(256, rows - row);
      const auto read = [&](GDALDataset& dataset, int number, std::vector<float>& values) {
        return dataset.GetRasterBand(number)->RasterIO(GF_Read, 0, row, columns, height,
                                                       values.data(), columns, height, GDT_Float32,
                                                       0, 0, nullptr) == CE_None;
      };
      if (!read(*first, band, left) || !read(*second, one ? band : 1, right)) return false;
      const auto count = static_cast<std::size_t>(columns) * static_cast<std::size_t>(height);
      for (std::size_t index = 0; index < count; ++index) {
        const bool same =
            left[index] == right[index] || (std::isnan(left[index]) && std::isnan(right[index]));
        if (!same) return false;
      }
    }
  }
  return true;
}

/// Gives a Zarr what GDAL's copy lacks: the bands' units, and their names as `long_name`, where
/// xarray and all that knows CF look for them.
inline bool describe_arrays(GDALDataset& source, const std::filesystem::path& copy,
                            const std::string& name_of_one) {
  const DatasetPointer dataset = open_dataset(copy, GDAL_OF_MULTIDIM_RASTER | GDAL_OF_UPDATE);
  if (dataset == nullptr) return false;
  const std::shared_ptr<GDALGroup> group = dataset->GetRootGroup();
  const int bands = source.GetRasterCount();
  for (int number = 1; number <= bands; ++number) {
    GDALRasterBand& band = *source.GetRasterBand(number);
    const std::string long_name = band.GetDescription(), units = band.GetUnitType();
    const auto array = group->OpenMDArray(bands == 1 ? name_of_one : concat("Band", number));
    if (array == nullptr || (!units.empty() && !array->SetUnit(units))) return false;
    if (long_name.empty()) continue;
    const auto attribute =
        array->CreateAttribute("long_name", {}, GDALExtendedDataType::CreateString());
    if (attribute == nullptr || !attribute->Write(long_name.c_str())) return false;
  }
  return true;
}

inline bool sync_all(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return sync_file(path);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path, error)) {
    if (!sync_file(entry.path())) return false;
  }
  return !error && sync_file(path);
}

inline CPLStringList creation_options(const std::filesystem::path& path, int bands,
                                      DerivedFormat format, Compression compression) {
  CPLStringList creation;
  creation.SetNameValue("COMPRESS", compression_name(format, compression).c_str());
  if (format == DerivedFormat::zarr) {
    creation.SetNameValue("FORMAT", "ZARR_V2");
    creation.SetNameValue("BLOCKSIZE", "256,256");
    if (bands == 1) creation.SetNameValue("ARRAY_NAME", path.stem().string().c_str());
    return creation;
  }
  creation.SetNameValue("BLOCKSIZE", "256");
  creation.SetNameValue("OVERVIEWS", "IGNORE_EXISTING");
  creation.SetNameValue("OVERVIEW_RESAMPLING", "AVERAGE");
  creation.SetNameValue("BIGTIFF", "IF_SAFER");
  if (compression != Compression::none) creation.SetNameValue("PREDICTOR", "FLOATING_POINT");
  return creation;
}

}  // namespace detail

DEEPLIGHT_INLINE void check_derivable(const std::filesystem::path& path, DerivedFormat format,
                                      Compression compression) {
  const GdalErrors quiet;
  const char* name = detail::driver_of(format);
  GDALDriver* driver = GetGDALDriverManager()->GetDriverByName(name);
  require(driver != nullptr && (driver->GetMetadataItem(GDAL_DCAP_CREATECOPY) != nullptr ||
                                driver->GetMetadataItem(GDAL_DCAP_CREATE) != nullptr),
          "this GDAL cannot write ", name, ", asked for '", path.string(), "'");
  require(format != DerivedFormat::cog || compression != Compression::none, "the COG '",
          path.string(), "' must be compressed: GDAL gives an uncompressed one another layout");
  const std::string kind = detail::compression_name(format, compression);
  const char* known = driver->GetMetadataItem(GDAL_DMD_CREATIONOPTIONLIST);
  require(known != nullptr && std::string(known).find("<Value>" + kind + "<") != std::string::npos,
          "this GDAL cannot write ", name, " with compression '", enum_to_string(compression),
          "', asked for '", path.string(), "'");
  if (format != DerivedFormat::zarr) return;
  std::error_code error;
  require(path.extension() == ".zarr", "the Zarr '", path.string(), "' must be called .zarr");
  require<FileError>(!std::filesystem::exists(path, error), "the Zarr '", path.string(),
                     "' exists already; a folder is not replaced: remove it");
}

DEEPLIGHT_INLINE void derive_raster(const std::filesystem::path& source,
                                    const std::filesystem::path& path, DerivedFormat format,
                                    Compression compression, bool overwrite) {
  const detail::Temporary consumed(source);
  if (format == DerivedFormat::zarr) {
    check_derivable(path, format, compression);
  } else {
    check_writable(path, overwrite);
  }
  const auto fail = [&](const std::string& reason) {
    throw FileError(
        concat("'", path.string(), "' cannot be written (", reason, "); nothing was left behind"));
  };
  GdalErrors errors;
  std::filesystem::path made = source;
  detail::Temporary copy(detail::temporary_name(path));
  if (format == DerivedFormat::gtiff_overviews) {
    copy.keep();
    if (!detail::build_overviews(source, compression) || errors.failed()) {
      fail("GDAL: " + errors.text());
    }
    if (const std::string missing = detail::missing_tile(source); !missing.empty()) fail(missing);
  } else {
    made = copy.path();
    const detail::DatasetPointer original = detail::open_dataset(source, GDAL_OF_RASTER);
    if (original == nullptr) fail("GDAL: " + errors.text());
    GDALDataset* written =
        GetGDALDriverManager()
            ->GetDriverByName(detail::driver_of(format))
            ->CreateCopy(
                made.string().c_str(), original.get(), FALSE,
                detail::creation_options(path, original->GetRasterCount(), format, compression)
                    .List(),
                nullptr, nullptr);
    if (written != nullptr) GDALClose(written);
    const bool described =
        written != nullptr && (format != DerivedFormat::zarr ||
                               detail::describe_arrays(*original, made, path.stem().string()));
    if (!described || errors.failed()) fail("GDAL: " + errors.text());
    if (!detail::same_values(source, made)) fail("read back, its values differ");
  }
  if (!detail::sync_all(made)) fail(std::generic_category().message(errno));
  std::error_code error;
  std::filesystem::rename(made, path, error);
  if (error) fail(error.message());
  copy.keep();
}

DEEPLIGHT_INLINE DerivedSink::DerivedSink(DerivedFormat format, const std::filesystem::path& path,
                                          const Grid& grid, std::int64_t bands,
                                          const RasterWriterOptions& options)
    : format_(format),
      path_((check_derivable(path, format, options.compression), path)),
      source_(detail::temporary_name(path)),
      options_(options),
      writer_(source_, grid, bands, options),
      block_(options.tile) {}

DEEPLIGHT_INLINE DerivedSink::~DerivedSink() {
  detail::remove_output(source_);
}

DEEPLIGHT_INLINE void DerivedSink::close() {
  writer_.close();
  derive_raster(source_, path_, format_, options_.compression, options_.overwrite);
}

}  // namespace deeplight
