// Removing folders.
#pragma once

#include <filesystem>
#include <system_error>
#include <vector>

namespace deeplight {

/// Removes a file, or a folder with all that is in it; what cannot be removed stays. Our own:
/// PyTorch's libraries export a std::filesystem::remove_all of their own that crashes.
inline void remove_tree(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(std::filesystem::symlink_status(path, error))) {
    std::vector<std::filesystem::path> inside;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
      inside.push_back(entry.path());
    }
    for (const std::filesystem::path& each : inside) remove_tree(each);
  }
  std::filesystem::remove(path, error);
}

}  // namespace deeplight
