// The library's exceptions and the helpers that raise them.
//
// Every message states the rule and the value, and names the file where there is one. The Python
// bindings translate: InvalidArgument and its children -> ValueError, FileError -> OSError,
// OutOfMemory -> MemoryError, Cancelled -> KeyboardInterrupt.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace deeplight {

/// Root of all exceptions that the library throws itself.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An argument, option or tensor breaks a stated rule.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// Two rasters do not share the grid relation that the work needs.
class GridMismatch : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

/// A file was read but its content is damaged, hostile or of another kind than promised.
class FormatError : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

/// The operating system or a driver refused: missing, unreadable, unwritable, disk full.
class FileError : public Error {
 public:
  using Error::Error;
};

/// Memory could not be had; nothing was written under a final name.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// The caller asked to stop (Ctrl-C); partial results were removed.
class Cancelled : public Error {
 public:
  using Error::Error;
};

/// Concatenates its arguments with operator<<.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return std::move(text).str();
}

/// Throws `Exception` with the concatenated message unless `condition` holds.
template <class Exception = InvalidArgument, class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) throw Exception(concat(parts...));
}

}  // namespace deeplight
