// A file of bytes at offsets, written in full or with an error that names it.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "deeplight/core/errors.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#include <fcntl.h>
#include <io.h>
#include <sys/stat.h>
#include <sys/types.h>
#endif

namespace deeplight {

class RawFile {
 public:
  enum class Mode { read, write };

  RawFile() = default;
  /// `write` creates the file where it is missing, and may read too.
  /// @throws FileError  missing, or refused
  RawFile(const std::filesystem::path& path, Mode mode) : path_(path) {
#if defined(__unix__) || defined(__APPLE__)
    const int flags = (mode == Mode::write ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC;
    descriptor_ = ::open(path.c_str(), flags, 0666);
#else
    const int flags = (mode == Mode::write ? _O_RDWR | _O_CREAT : _O_RDONLY) | _O_BINARY;
    descriptor_ = ::_wopen(path.c_str(), flags, _S_IREAD | _S_IWRITE);
#endif
    if (descriptor_ < 0) fail("cannot be opened", errno);
  }
  ~RawFile() { close(); }
  RawFile(RawFile&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  RawFile& operator=(RawFile&& other) noexcept {
    if (this != &other) {
      close();
      path_ = std::move(other.path_);
      descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
  }

  std::uint64_t size() const {
    std::error_code error;
    const std::uintmax_t bytes = std::filesystem::file_size(path_, error);
    if (error) fail("cannot be read", error.value());
    return bytes;
  }

  /// @throws FileError  the disk is full or failed
  void write(std::uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto done = write_some(offset, bytes);
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) fail("cannot be written", done == 0 ? ENOSPC : errno);
      offset += static_cast<std::uint64_t>(done);
      bytes = bytes.subspan(static_cast<std::size_t>(done));
    }
  }

  /// @throws FileError  the file ends before, or the disk failed
  void read(std::uint64_t offset, std::span<std::byte> bytes) const {
    while (!bytes.empty()) {
      const auto done = read_some(offset, bytes);
      if (done < 0 && errno == EINTR) continue;
      require<FileError>(done != 0, "'", path_.string(), "' ends at byte ", offset,
                         ", before what it should hold");
      if (done < 0) fail("cannot be read", errno);
      offset += static_cast<std::uint64_t>(done);
      bytes = bytes.subspan(static_cast<std::size_t>(done));
    }
  }

  /// Hands the content to the disk. @throws FileError  where that fails
  void flush() {
#if defined(__linux__)
    if (::fdatasync(descriptor_) != 0) fail("cannot be written", errno);
#elif defined(__unix__) || defined(__APPLE__)
    if (::fsync(descriptor_) != 0) fail("cannot be written", errno);
#else
    if (::_commit(descriptor_) != 0) fail("cannot be written", errno);
#endif
  }

  void truncate(std::uint64_t bytes) {
    std::error_code error;
    std::filesystem::resize_file(path_, bytes, error);
    if (error) fail("cannot be cut", error.value());
  }

 private:
#if defined(__unix__) || defined(__APPLE__)
  std::int64_t write_some(std::uint64_t offset, std::span<const std::byte> bytes) const {
    return ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  }
  std::int64_t read_some(std::uint64_t offset, std::span<std::byte> bytes) const {
    return ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  }
  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
#else
  // No pread: callers use a file from one thread at a time.
  static unsigned part(std::size_t bytes) {
    return static_cast<unsigned>(bytes < (1U << 30) ? bytes : (1U << 30));
  }
  std::int64_t write_some(std::uint64_t offset, std::span<const std::byte> bytes) const {
    if (::_lseeki64(descriptor_, static_cast<std::int64_t>(offset), SEEK_SET) < 0) return -1;
    return ::_write(descriptor_, bytes.data(), part(bytes.size()));
  }
  std::int64_t read_some(std::uint64_t offset, std::span<std::byte> bytes) const {
    if (::_lseeki64(descriptor_, static_cast<std::int64_t>(offset), SEEK_SET) < 0) return -1;
    return ::_read(descriptor_, bytes.data(), part(bytes.size()));
  }
  void close() {
    if (descriptor_ >= 0) ::_close(std::exchange(descriptor_, -1));
  }
#endif
  [[noreturn]] void fail(const char* what, int reason) const {
    throw FileError(
        concat("'", path_.string(), "' ", what, ": ", std::generic_category().message(reason)));
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace deeplight
