// A file that appears whole under its name or not at all.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>

#include "deeplight/core/config.hpp"

namespace deeplight {

/// Writes the concatenated parts to a temporary file beside `path`, flushes it to disk, renames it.
/// An existing file keeps its content until the rename.
/// @throws FileError  folder missing or not writable, disk full; the temporary file is removed
void write_file_atomically(const std::string& path,
                           std::span<const std::span<const std::byte>> parts);

/// The same for text.
void write_file_atomically(const std::string& path, const std::string& text);

/// Reads a regular file of at most `limit` bytes.
/// @throws FileError    missing, not a regular file, unreadable
/// @throws FormatError  larger than `limit`
std::string read_text_file(const std::string& path, std::size_t limit);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/core/atomic_file_inl.hpp"
#endif
