// Definitions of atomic_file.hpp.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <system_error>

#include "deeplight/core/atomic_file.hpp"
#include "deeplight/core/errors.hpp"

#ifdef _WIN32
#include <io.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif

namespace deeplight {
namespace detail {

inline bool flush_to_disk(std::FILE* file) {
#ifdef _WIN32
  return std::fflush(file) == 0 && _commit(_fileno(file)) == 0;
#else
  return std::fflush(file) == 0 && ::fsync(::fileno(file)) == 0;
#endif
}

// The rename itself is durable only once the folder is; a failure here loses nothing.
inline void flush_folder(const std::filesystem::path& folder) {
#ifndef _WIN32
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (descriptor >= 0) {
    (void)::fsync(descriptor);
    ::close(descriptor);
  }
#endif
}

// Two writers of one name, in one process or several, must not share a temporary file.
inline std::string temporary_suffix() {
  static std::atomic<unsigned> counter{0};
  std::random_device random;
  return concat(".", random(), "-", counter++, ".tmp");
}

}  // namespace detail

DEEPLIGHT_INLINE void write_file_atomically(const std::string& path,
                                            std::span<const std::span<const std::byte>> parts) {
  namespace fs = std::filesystem;
  const fs::path target(path);
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  std::error_code code;
  require<FileError>(fs::is_directory(folder, code), "cannot write '", path, "': the folder '",
                     folder.string(), "' does not exist");
  require<FileError>(!fs::is_directory(target, code), "cannot write '", path, "': it is a folder");
  const std::string temporary = path + detail::temporary_suffix();
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  require<FileError>(file != nullptr, "cannot write '", path, "': ", std::strerror(errno));
  bool written = true;
  int error = 0;
  for (const auto& part : parts) {
    if (part.empty()) continue;
    if (std::fwrite(part.data(), 1, part.size(), file) != part.size()) {
      written = false;
      error = errno;
      break;
    }
  }
  if (written && !detail::flush_to_disk(file)) {
    written = false;
    error = errno;
  }
  if (std::fclose(file) != 0 && written) {
    written = false;
    error = errno;
  }
  if (written) {
    fs::rename(temporary, target, code);
    if (!code) {
      detail::flush_folder(folder);
      return;
    }
    error = code.value();
  }
  std::error_code ignored;
  fs::remove(temporary, ignored);
  throw FileError(concat("cannot write '", path, "': ", std::strerror(error)));
}

DEEPLIGHT_INLINE void write_file_atomically(const std::string& path, const std::string& text) {
  const std::span<const std::byte> part = std::as_bytes(std::span(text));
  write_file_atomically(path, std::span(&part, 1));
}

DEEPLIGHT_INLINE std::string read_text_file(const std::string& path, std::size_t limit) {
  namespace fs = std::filesystem;
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  require<FileError>(fs::exists(status), "cannot read '", path, "': no such file");
  require<FileError>(fs::is_regular_file(status), "cannot read '", path, "': not a regular file");
  std::ifstream file(path, std::ios::binary);
  require<FileError>(file.good(), "cannot read '", path, "': ", std::strerror(errno));
  // Read in blocks up to the limit: the size that the file system reports may change meanwhile.
  std::string text;
  char block[1 << 16];
  while (file.read(block, sizeof(block)) || file.gcount() > 0) {
    text.append(block, static_cast<std::size_t>(file.gcount()));
    require<FormatError>(text.size() <= limit, "'", path, "' is larger than ", limit, " bytes");
  }
  require<FileError>(!file.bad(), "cannot read '", path, "': input error");
  return text;
}

}  // namespace deeplight
