// Landsat's MTL text file: `KEY = VALUE` lines in nested groups, and what decoding needs of them.
//
// Source: Landsat Collection 2 Level 1 Data Format Control Book (LSDS-1822). Collection 1 has the
// same syntax and other group names; both are read.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/radiometry/landsat.hpp"

namespace deeplight::radiometry {

/// A parsed MTL file. Keys may stand in several groups: level-2 files repeat those of level 1.
class Mtl {
 public:
  struct Entry {
    std::string group;  ///< the innermost
    std::string key;
    std::string value;  ///< without quotes
  };

  /// @param text  of the file, at most 1 MiB
  /// @param name  for messages
  /// @throws FormatError  no MTL: a line without "=", groups that do not close, no key at all
  static Mtl parse(std::string_view text, const std::string& name);
  /// @throws FileError    missing or unreadable
  /// @throws FormatError  as `parse`
  static Mtl read(const std::filesystem::path& path);

  const std::string& name() const { return name_; }
  const std::vector<Entry>& entries() const { return entries_; }

  /// The value of a key in the first of `groups` that has it; in any group where `groups` is empty.
  /// @throws FormatError  without groups: groups that contradict each other
  std::optional<std::string> find(std::string_view key,
                                  const std::vector<std::string>& groups = {}) const;
  /// @throws FormatError  missing; the message names file and key
  std::string text(std::string_view key, const std::vector<std::string>& groups = {}) const;
  /// @throws FormatError  missing, or not a finite number
  double number(std::string_view key, const std::vector<std::string>& groups = {}) const;

  /// 1 or 2. @throws FormatError  neither
  int collection() const;
  /// "LANDSAT_8" and so on.
  std::string spacecraft() const { return text("SPACECRAFT_ID"); }
  /// Degrees.
  double sun_elevation() const { return number("SUN_ELEVATION"); }
  /// Level 1, before the sun's angle; `band` as in the key, e.g. "4".
  LinearGain reflectance(const std::string& band) const;
  /// Level 1, W m-2 sr-1 um-1.
  LinearGain radiance(const std::string& band) const;
  /// Level 1: radiance and Planck constants, e.g. of "10", "6", "6_VCID_1".
  ThermalBand thermal(const std::string& band) const;

 private:
  std::string name_;
  std::vector<Entry> entries_;
};

}  // namespace deeplight::radiometry

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/radiometry/mtl_inl.hpp"
#endif
