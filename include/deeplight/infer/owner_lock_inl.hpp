// Definitions of owner_lock.hpp.
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <system_error>

#include "deeplight/core/errors.hpp"
#include "deeplight/infer/owner_lock.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#define DEEPLIGHT_HAS_FLOCK 1
#endif

namespace deeplight {

struct OwnerLock::State {
  int descriptor = -1;
  ~State() {
#ifdef DEEPLIGHT_HAS_FLOCK
    if (descriptor >= 0) ::close(descriptor);
#endif
  }
};

namespace detail {

#ifdef DEEPLIGHT_HAS_FLOCK
inline std::string this_owner() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &utc);
  return concat("process ", ::getpid(), " on ", host.data(), " since ", text.data());
}

inline std::string owner_of(int descriptor) {
  std::array<char, 512> text{};
  const auto bytes = ::pread(descriptor, text.data(), text.size(), 0);
  return bytes > 0 ? std::string(text.data(), static_cast<std::size_t>(bytes))
                   : std::string("another process");
}

/// Whether the open file still stands under its name: its owner may have removed it meanwhile.
inline bool still_named(int descriptor, const std::filesystem::path& file) {
  struct stat open{};
  struct stat named{};
  return ::fstat(descriptor, &open) == 0 && ::stat(file.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}
#endif

}  // namespace detail

DEEPLIGHT_INLINE OwnerLock::OwnerLock(const std::filesystem::path& file, const std::string& what)
    : state_(std::make_unique<State>()) {
#ifdef DEEPLIGHT_HAS_FLOCK
  int& descriptor = state_->descriptor;
  for (;;) {
    descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0 && (errno == EACCES || errno == EROFS)) {
      descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);  // enough to merge what others wrote
    }
    require<FileError>(descriptor >= 0, "the lock '", file.string(), "' of ", what,
                       " cannot be created: ", std::generic_category().message(errno));
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      const int reason = errno;
      require<FileError>(reason != EWOULDBLOCK, what, " is being written by ",
                         detail::owner_of(descriptor), "; wait for it or stop it");
      throw FileError(concat("the lock '", file.string(), "' of ", what,
                             " cannot be taken: ", std::generic_category().message(reason)));
    }
    if (detail::still_named(descriptor, file)) break;
    ::close(descriptor);
    descriptor = -1;
  }
  const std::string owner = detail::this_owner();
  if (::ftruncate(descriptor, 0) == 0) {
    [[maybe_unused]] const auto written = ::pwrite(descriptor, owner.data(), owner.size(), 0);
  }
#endif
}

DEEPLIGHT_INLINE OwnerLock::~OwnerLock() = default;
DEEPLIGHT_INLINE OwnerLock::OwnerLock(OwnerLock&&) noexcept = default;
DEEPLIGHT_INLINE OwnerLock& OwnerLock::operator=(OwnerLock&&) noexcept = default;

}  // namespace deeplight
