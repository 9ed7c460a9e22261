// What writers left beside an output that were killed while they wrote it.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "deeplight/core/remove_tree.hpp"
#include "deeplight/raster/mosaic_sink.hpp"

namespace deeplight {

/// Whether `name` begins as writers call a file that becomes `target`: ".sr.tif.4711-0.part.tif".
inline bool is_temporary_of(std::string_view name, const std::string& target) {
  const auto skip = [&](std::string_view text) {
    if (!name.starts_with(text)) return false;
    name.remove_prefix(text.size());
    return true;
  };
  const auto skip_digits = [&] {
    const std::size_t count = std::min(name.find_first_not_of("0123456789"), name.size());
    name.remove_prefix(count);
    return count > 0;
  };
  // What another format is made from has a temporary name, and is written under one of that.
  if (name.starts_with("..")) name.remove_prefix(1);
  return skip("." + target + ".") && skip_digits() && skip("-") && skip_digits() &&
         skip(".part.tif");
}

/// Removes temporary files and folders of `path`. The caller makes sure that nobody writes it.
inline void remove_stale_temporaries(const std::filesystem::path& path) {
  const std::string target = path.filename().string();
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::vector<std::filesystem::path> stale;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (is_temporary_of(entry.path().filename().string(), target)) stale.push_back(entry.path());
  }
  // A mosaic's parts have their name just before the mosaic has its own.
  const std::filesystem::path parts = parts_of_mosaic(path);
  if (is_unfinished_mosaic(parts)) stale.push_back(parts);
  for (const std::filesystem::path& each : stale) remove_tree(each);
}

}  // namespace deeplight
