// Safetensors files: a small reader that trusts nothing, and a writer.
//
// Layout: 8 bytes header length n (little endian), n bytes JSON header, tensor bytes. The reader
// takes a subset of what the reference library takes: header at most 16 MiB, at most 10,000
// tensors, rank at most 16, no unknown fields, no duplicate keys, and the tensors cover the buffer
// exactly, without gap or overlap. The header is read event by event; no structure is built from it
// that it could make deep. Source: the published description of the safetensors format (2024).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/weights/safetensors_limits.hpp"

namespace deeplight {

/// Element type of a stored tensor.
enum class StorageType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

/// Name in the file: "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL".
std::string_view storage_name(StorageType type);

/// Bytes per element.
std::size_t storage_size(StorageType type);

/// A tensor as it lies in the file: row-major, little endian.
struct StoredTensor {
  std::string name;
  StorageType type = StorageType::f32;
  std::vector<std::int64_t> shape;  ///< empty for a scalar; sides of zero are allowed
  std::uint64_t begin = 0;          ///< first byte, counted from the end of the header
  std::uint64_t end = 0;            ///< one past the last byte
  std::span<const std::byte> data;  ///< end - begin bytes, of any alignment: copy, do not cast
};

/// A parsed file. Tensors are in the order of their bytes.
class SafetensorsFile {
 public:
  /// Reads `path` into memory.
  /// @throws FileError    missing, not a regular file, unreadable
  /// @throws FormatError  damaged or hostile; names the file and the tensor
  /// @throws OutOfMemory  the file does not fit
  static SafetensorsFile open(const std::string& path);

  /// Parses bytes that the caller keeps alive.
  /// @param where  named in messages
  /// @throws FormatError  as `open`
  static SafetensorsFile parse(std::span<const std::byte> bytes, const std::string& where);

  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// The whole file, header included.
  std::span<const std::byte> bytes() const { return bytes_; }

  /// The tensor of this name, or null.
  const StoredTensor* find(std::string_view name) const;
  /// @throws FormatError  no such tensor; the nearest name is in the message
  const StoredTensor& at(std::string_view name) const;

 private:
  std::string where_;
  std::shared_ptr<const std::vector<std::byte>> storage_;  // null when the caller owns the bytes
  std::span<const std::byte> bytes_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

/// Writes tensors as the reference library does: widest type first, then by name; header padded to
/// 8 bytes. `begin` and `end` of the tensors are ignored. Atomic: temporary file, flush, rename.
/// @throws InvalidArgument  duplicate or reserved name, or data whose size is not shape times type
/// @throws FileError        the file cannot be written; nothing is left behind
void write_safetensors(const std::string& path, std::vector<StoredTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/weights/safetensors_inl.hpp"
#endif
