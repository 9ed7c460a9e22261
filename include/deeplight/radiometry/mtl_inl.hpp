// Definitions of mtl.hpp.
#pragma once

#include <charconv>
#include <cmath>
#include <fstream>
#include <string>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/radiometry/mtl.hpp"

namespace deeplight::radiometry {
namespace detail {

inline constexpr std::size_t mtl_limit = std::size_t{1} << 20;

inline std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\f\v";
  const auto first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace detail

DEEPLIGHT_INLINE Mtl Mtl::parse(std::string_view text, const std::string& name) {
  require<FormatError>(text.size() <= detail::mtl_limit, "'", name, "' has ", text.size(),
                       " bytes, an MTL file has at most ", detail::mtl_limit);
  Mtl result;
  result.name_ = name;
  std::vector<std::string> open;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    const std::string_view line = detail::trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (line.empty()) continue;
    if (line == "END") break;
    const auto equals = line.find('=');
    require<FormatError>(equals != std::string_view::npos && equals > 0, "'", name,
                         "' is no MTL file: line ", number, " has no 'KEY = VALUE'");
    const std::string key(detail::trimmed(line.substr(0, equals)));
    std::string_view value = detail::trimmed(line.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    if (key == "GROUP") {
      open.emplace_back(value);
    } else if (key == "END_GROUP") {
      require<FormatError>(!open.empty() && open.back() == value, "'", name, "', line ", number,
                           ": group '", value, "' ends, open is '",
                           open.empty() ? std::string("none") : open.back(), "'");
      open.pop_back();
    } else {
      result.entries_.push_back({open.empty() ? "" : open.back(), key, std::string(value)});
    }
  }
  require<FormatError>(open.empty(), "'", name, "' is cut off: group '",
                       open.empty() ? std::string() : open.back(), "' does not end");
  require<FormatError>(!result.entries_.empty(), "'", name, "' is no MTL file: it holds no key");
  return result;
}

DEEPLIGHT_INLINE Mtl Mtl::read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  require<FileError>(file.good() && !std::filesystem::is_directory(path), "cannot read '",
                     path.string(), "'");
  std::string text(detail::mtl_limit + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  require<FileError>(!file.bad(), "cannot read '", path.string(), "'");
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse(text, path.string());
}

DEEPLIGHT_INLINE std::optional<std::string> Mtl::find(
    std::string_view key, const std::vector<std::string>& groups) const {
  if (groups.empty()) {
    const Entry* found = nullptr;
    for (const Entry& entry : entries_) {
      if (entry.key != key) continue;
      require<FormatError>(found == nullptr || found->value == entry.value, "'", name_, "': '", key,
                           "' is '", found == nullptr ? std::string() : found->value, "' in group ",
                           found == nullptr ? std::string() : found->group, " and '", entry.value,
                           "' in group ", entry.group);
      found = &entry;
    }
    if (found == nullptr) return std::nullopt;
    return found->value;
  }
  for (const std::string& group : groups) {
    for (const Entry& entry : entries_) {
      if (entry.key == key && entry.group == group) return entry.value;
    }
  }
  return std::nullopt;
}

DEEPLIGHT_INLINE std::string Mtl::text(std::string_view key,
                                       const std::vector<std::string>& groups) const {
  const auto value = find(key, groups);
  std::string where;
  for (const std::string& group : groups) where += (where.empty() ? " in group " : " or ") + group;
  require<FormatError>(value.has_value(), "'", name_, "' has no '", key, "'", where);
  return *value;
}

DEEPLIGHT_INLINE double Mtl::number(std::string_view key,
                                    const std::vector<std::string>& groups) const {
  const std::string value = text(key, groups);
  double result = 0.0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, result);
  require<FormatError>(error == std::errc() && stop == end && std::isfinite(result), "'", name_,
                       "': '", key, "' must be a number, got '", value, "'");
  return result;
}

DEEPLIGHT_INLINE int Mtl::collection() const {
  const double value = number("COLLECTION_NUMBER");
  require<FormatError>(value == 1 || value == 2, "'", name_, "' is of collection ", value,
                       "; 1 and 2 are known");
  return static_cast<int>(value);
}

DEEPLIGHT_INLINE LinearGain Mtl::reflectance(const std::string& band) const {
  const std::vector<std::string> groups{"LEVEL1_RADIOMETRIC_RESCALING", "RADIOMETRIC_RESCALING"};
  return {number("REFLECTANCE_MULT_BAND_" + band, groups),
          number("REFLECTANCE_ADD_BAND_" + band, groups)};
}

DEEPLIGHT_INLINE LinearGain Mtl::radiance(const std::string& band) const {
  const std::vector<std::string> groups{"LEVEL1_RADIOMETRIC_RESCALING", "RADIOMETRIC_RESCALING"};
  return {number("RADIANCE_MULT_BAND_" + band, groups),
          number("RADIANCE_ADD_BAND_" + band, groups)};
}

DEEPLIGHT_INLINE ThermalBand Mtl::thermal(const std::string& band) const {
  const std::vector<std::string> groups{"LEVEL1_THERMAL_CONSTANTS", "THERMAL_CONSTANTS",
                                        "TIRS_THERMAL_CONSTANTS"};
  return {radiance(band), number("K1_CONSTANT_BAND_" + band, groups),
          number("K2_CONSTANT_BAND_" + band, groups)};
}

}  // namespace deeplight::radiometry
