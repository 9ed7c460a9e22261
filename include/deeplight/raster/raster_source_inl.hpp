// Definitions of raster_source.hpp.
#pragma once

#include <cpl_minixml.h>
#include <cpl_vsi.h>
#include <gdal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <memory>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/gdal_errors.hpp"
#include "deeplight/raster/raster_source.hpp"

namespace deeplight {

namespace detail {

/// Formats that are read. GDAL knows two hundred, many of them rarely tested, some of them clients
/// of web services.
inline constexpr const char* allowed_drivers[] = {
    "GTiff", "COG",  "VRT",         "HDF5",    "HDF5Image", "netCDF", "Zarr", "HDF4", "HDF4Image",
    "HFA",   "ENVI", "JP2OpenJPEG", "PNG",     "JPEG",      "BMP",    "WEBP", "GIF",  "AAIGrid",
    "EHdr",  "RST",  "SAGA",        "SRTMHGT", "USGSDEM",   "DTED",   "GRIB", "MEM",  nullptr};

inline bool is_allowed_driver(const std::string& name) {
  const auto* end = std::end(allowed_drivers) - 1;
  return std::find(std::begin(allowed_drivers), end, name) != end;
}

inline constexpr std::array<std::string_view, 5> local_systems{"vsizip", "vsitar", "vsigzip",
                                                               "vsimem", "vsisubfile"};
inline constexpr std::array<std::string_view, 7> network_systems{
    "vsicurl", "vsis3", "vsigs", "vsiaz", "vsiadls", "vsioss", "vsiswift"};
/// What may stand before the colon of a subdataset's name.
inline constexpr std::array<std::string_view, 8> subdataset_prefixes{
    "NETCDF", "HDF5", "HDF4_SDS", "HDF4_EOS", "HDF4_UNKNOWN", "ZARR", "GTIFF_DIR", "GRIB"};

template <class List>
bool holds(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

inline std::atomic<bool>& network_flag() {
  static std::atomic<bool> flag = [] {
    const char* text = std::getenv("DEEPLIGHT_NETWORK");
    return text != nullptr && std::string_view(text) == "1";
  }();
  return flag;
}

inline std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return text;
}

/// `ABC` of `ABC:rest`; empty for paths (also `C:\...`) and names without a colon.
inline std::string prefix_of(const std::string& name) {
  const std::size_t colon = name.find(':');
  if (colon == std::string::npos || colon < 2) return "";
  const bool word = std::all_of(
      name.begin(), name.begin() + static_cast<std::ptrdiff_t>(colon), [](unsigned char letter) {
        return std::isalnum(letter) != 0 || letter == '_' || letter == '+';
      });
  return word ? name.substr(0, colon) : "";
}

struct VrtDeleter {
  void operator()(CPLXMLNode* node) const { CPLDestroyXMLNode(node); }
};

/// Calls `visit(element)` for every element of the tree.
template <class Visit>
void each_element(const CPLXMLNode* node, int depth, const Visit& visit) {
  require<FormatError>(depth < 64, "a VRT is nested deeper than 64 elements");
  for (; node != nullptr; node = node->psNext) {
    if (node->eType == CXT_Element) visit(*node);
    each_element(node->psChild, depth + 1, visit);
  }
}

inline const char* identified_driver(const std::string& name) {
  GDALDriverH driver = GDALIdentifyDriverEx(name.c_str(), GDAL_OF_RASTER, nullptr, nullptr);
  return driver == nullptr ? nullptr : GDALGetDriverShortName(driver);
}

class VrtCheck {
 public:
  explicit VrtCheck(std::string root) : root_(std::move(root)) {}

  void run(const std::string& name, int depth) {
    require<FormatError>(depth <= 8, "'", root_, "' nests mosaics deeper than 8");
    if (!checked_.insert(name).second) return;
    require<FormatError>(checked_.size() <= 200000, "'", root_, "' names more than 200000 sources");
    const char* driver = identified_driver(name);
    if (driver == nullptr || std::string_view(driver) != "VRT") return;
    VSIStatBufL status;
    constexpr vsi_l_offset largest = vsi_l_offset{256} << 20;
    require<FormatError>(VSIStatL(name.c_str(), &status) == 0 &&
                             static_cast<vsi_l_offset>(status.st_size) <= largest,
                         "the mosaic '", name, "' is no file, or is larger than 256 MiB");
    const std::unique_ptr<CPLXMLNode, VrtDeleter> tree(CPLParseXMLFile(name.c_str()));
    require<FormatError>(tree != nullptr, "the mosaic '", name, "' is damaged: it is not XML");
    each_element(tree.get(), 0, [&](const CPLXMLNode& node) { element(node, name, depth); });
  }

 private:
  void element(const CPLXMLNode& node, const std::string& name, int depth) {
    const std::string kind = lower_case(node.pszValue);
    const std::string subclass = lower_case(CPLGetXMLValue(&node, "subClass", ""));
    require<FormatError>(subclass != "vrtrawrasterband", "the mosaic '", name,
                         "' has a raw band, which shows the bytes of any file; refused");
    if (kind == "pixelfunctionlanguage") {
      require<FormatError>(lower_case(CPLGetXMLValue(&node, nullptr, "")) == "c", "the mosaic '",
                           name, "' runs code of its own (a pixel function); refused");
    }
    if (kind != "sourcefilename" && kind != "sourcedataset") return;
    std::string source = CPLGetXMLValue(&node, nullptr, "");
    const bool relative = std::atoi(CPLGetXMLValue(&node, "relativeToVRT", "0")) != 0;
    if (relative) source = CPLProjectRelativeFilename(CPLGetPath(name.c_str()), source.c_str());
    if (source.empty()) return;
    try {
      check_raster_name(source);
    } catch (const InvalidArgument& error) {
      throw FormatError(concat("the mosaic '", name, "' reads '", source, "': ", error.what()));
    }
    const char* driver = identified_driver(source);
    require<FormatError>(driver != nullptr, "the mosaic '", name, "' reads '", source,
                         "', which is missing or not a raster");
    require<FormatError>(is_allowed_driver(driver), "the mosaic '", name, "' reads '", source,
                         "' in the format ", driver, ", which deeplight does not read");
    run(source, depth + 1);
  }

  std::string root_;
  std::set<std::string> checked_;
};

}  // namespace detail

DEEPLIGHT_INLINE bool network_allowed() {
  return detail::network_flag();
}

DEEPLIGHT_INLINE void allow_network(bool allow) {
  detail::network_flag() = allow;
}

DEEPLIGHT_INLINE bool is_gdal_name(const std::string& name) {
  return name.starts_with("/vsi") || name.starts_with("<") || !detail::prefix_of(name).empty();
}

DEEPLIGHT_INLINE void check_raster_name(const std::string& name) {
  require(!name.empty(), "a raster has an empty name");
  require(name.find('\0') == std::string::npos, "a raster's name holds a zero byte");
  require(name.front() != '<', "XML in place of a raster's name is refused: ", name.substr(0, 40));
  const std::string lower = detail::lower_case(name);
  const auto ask = [&](const std::string& what) {
    require(network_allowed(), "'", name, "' reads over the network (", what,
            "); set DEEPLIGHT_NETWORK=1 to allow it");
  };
  for (const char* scheme : {"http://", "https://", "ftp://", "s3://", "gs://", "dods://"}) {
    if (lower.find(scheme) != std::string::npos) ask(scheme);
  }
  const std::string prefix = detail::prefix_of(name);
  const bool address = !prefix.empty() && name.compare(prefix.size(), 3, "://") == 0;
  if (!prefix.empty() && !address) {
    std::error_code error;
    std::string upper = prefix;
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); });
    require(
        detail::holds(detail::subdataset_prefixes, upper) || std::filesystem::exists(name, error),
        "'", name, "' is neither a file nor a subdataset that deeplight reads ('", prefix,
        ":' is not one of NETCDF:, HDF5:, HDF4_SDS:, HDF4_EOS:, ZARR:, GTIFF_DIR:, GRIB:)");
  }
  require(!address || lower.starts_with("http") || lower.starts_with("ftp"), "'", name,
          "' is an address that deeplight does not read");
  // Every file system in the name: one can stand inside another (/vsizip//vsicurl/...).
  for (std::size_t place = lower.find("/vsi"); place != std::string::npos;
       place = lower.find("/vsi", place + 1)) {
    std::size_t end = lower.find_first_of("/?\\", place + 1);
    if (end == std::string::npos) end = lower.size();
    std::string system = lower.substr(place + 1, end - place - 1);
    if (const std::size_t tail = system.find("_streaming"); tail != std::string::npos) {
      system.resize(tail);
    }
    if (detail::holds(detail::network_systems, system)) {
      ask("/" + system + "/");
      continue;
    }
    // A folder whose name happens to begin so is no file system.
    const bool inner =
        place != 0 && std::string_view("/\"{:,").find(lower[place - 1]) == std::string_view::npos;
    require(inner || detail::holds(detail::local_systems, system), "'", name, "' uses '/", system,
            "/', which deeplight does not read");
  }
}

DEEPLIGHT_INLINE void check_vrt_sources(const std::string& name) {
  const GdalErrors quiet;
  detail::VrtCheck(name).run(name, 0);
}

DEEPLIGHT_INLINE std::vector<std::filesystem::path> raster_parts(
    const std::filesystem::path& name) {
  const std::string text = name.string();
  std::error_code error;
  if (text.find(',') == std::string::npos || text.starts_with("/vsisubfile/") ||
      std::filesystem::exists(name, error)) {
    return {name};
  }
  std::vector<std::filesystem::path> parts;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    require(end > start, "'", text, "' names an empty raster between commas");
    parts.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

}  // namespace deeplight
