// One writer at a time: an exclusive lock on a file that names its owner.
//
// The lock belongs to the process (flock): it ends with it, however it ends, and leaves nothing to
// clean up. The text inside is only for the message that a second writer gets.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "deeplight/core/config.hpp"

namespace deeplight {

class OwnerLock {
 public:
  /// @param file   created where it is missing; its folder must exist
  /// @param what   what is protected, for messages, e.g. "output 'sr.tif'"
  /// @throws FileError  another process or thread holds it, and which; or it cannot be created
  OwnerLock(const std::filesystem::path& file, const std::string& what);
  ~OwnerLock();
  OwnerLock(OwnerLock&&) noexcept;
  OwnerLock& operator=(OwnerLock&&) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/owner_lock_inl.hpp"
#endif
