// Definitions of safetensors.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <new>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "deeplight/core/atomic_file.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/core/nearest_name.hpp"
#include "deeplight/weights/safetensors.hpp"
#include "deeplight/weights/safetensors_header.hpp"

namespace deeplight {
namespace detail {

static_assert(std::endian::native == std::endian::little, "safetensors bytes are little endian");

struct StorageRow {
  StorageType type;
  std::string_view name;
  std::size_t size;
  int order;  // of the reference writer: higher first, so that wide elements stay aligned
};

inline constexpr std::array<StorageRow, 10> storage_table{{{StorageType::f64, "F64", 8, 8},
                                                           {StorageType::f32, "F32", 4, 7},
                                                           {StorageType::f16, "F16", 2, 4},
                                                           {StorageType::bf16, "BF16", 2, 5},
                                                           {StorageType::i64, "I64", 8, 9},
                                                           {StorageType::i32, "I32", 4, 6},
                                                           {StorageType::i16, "I16", 2, 3},
                                                           {StorageType::i8, "I8", 1, 2},
                                                           {StorageType::u8, "U8", 1, 1},
                                                           {StorageType::boolean, "BOOL", 1, 0}}};

inline const StorageRow& storage_row(StorageType type) {
  for (const StorageRow& row : storage_table) {
    if (row.type == type) return row;
  }
  throw InvalidArgument("unknown storage type");
}

/// False on overflow.
inline bool multiply_into(std::uint64_t& product, std::uint64_t factor) {
  if (factor != 0 && product > std::numeric_limits<std::uint64_t>::max() / factor) return false;
  product *= factor;
  return true;
}

inline StoredTensor checked_tensor(const TensorClaim& claim, std::span<const std::byte> buffer,
                                   const std::string& where) {
  const auto check = [&](bool condition, const auto&... parts) {
    require<FormatError>(condition, where, ": tensor '", shown_name(claim.name), "' ", parts...);
  };
  StoredTensor tensor;
  tensor.name = claim.name;
  const auto row = std::find_if(storage_table.begin(), storage_table.end(),
                                [&](const StorageRow& known) { return known.name == claim.dtype; });
  check(row != storage_table.end(), "has dtype '", shown_name(claim.dtype),
        "', known are F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL");
  tensor.type = row->type;
  // The product is checked without its zeros, so that no later product of sides can overflow.
  std::uint64_t bytes = row->size;
  bool empty = false;
  for (const std::uint64_t side : claim.shape) {
    check(side <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
          "has a side of ", side, ", above 2^63 - 1");
    empty = empty || side == 0;
    check(side == 0 || multiply_into(bytes, side), "has a size that overflows 64 bits");
    tensor.shape.push_back(static_cast<std::int64_t>(side));
  }
  if (empty) bytes = 0;
  tensor.begin = claim.offsets[0];
  tensor.end = claim.offsets[1];
  check(tensor.begin <= tensor.end, "has data_offsets [", tensor.begin, ", ", tensor.end,
        "] in reverse");
  check(tensor.end <= buffer.size(), "ends at byte ", tensor.end, " of ", buffer.size(),
        ": the file is truncated or damaged");
  check(tensor.end - tensor.begin == bytes, "has ", tensor.end - tensor.begin,
        " bytes, its shape and dtype need ", bytes);
  tensor.data = buffer.subspan(static_cast<std::size_t>(tensor.begin),
                               static_cast<std::size_t>(tensor.end - tensor.begin));
  return tensor;
}

inline std::string safetensors_header(const std::vector<StoredTensor>& tensors,
                                      const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  const auto append = [&](const std::string& name, const nlohmann::ordered_json& value) {
    if (text.size() > 1) text += ',';
    text += nlohmann::ordered_json(name).dump() + ":" + value.dump();
  };
  if (!metadata.empty()) append("__metadata__", metadata);
  std::uint64_t offset = 0;
  for (const StoredTensor& tensor : tensors) {
    nlohmann::ordered_json entry;
    entry["dtype"] = std::string(storage_name(tensor.type));
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = {offset, offset + tensor.data.size()};
    append(tensor.name, entry);
    offset += tensor.data.size();
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace detail

DEEPLIGHT_INLINE std::string_view storage_name(StorageType type) {
  return detail::storage_row(type).name;
}

DEEPLIGHT_INLINE std::size_t storage_size(StorageType type) {
  return detail::storage_row(type).size;
}

DEEPLIGHT_INLINE SafetensorsFile SafetensorsFile::parse(std::span<const std::byte> bytes,
                                                        const std::string& where) {
  require<FormatError>(bytes.size() >= 8, where, ": not a safetensors file: ", bytes.size(),
                       " bytes, the header length alone takes 8");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  require<FormatError>(length <= SafetensorsLimits::header_bytes, where,
                       ": not a safetensors file, or damaged: header of ", length,
                       " bytes, at most ", SafetensorsLimits::header_bytes, " are read");
  require<FormatError>(length <= bytes.size() - 8, where, ": truncated: header of ", length,
                       " bytes, the file has ", bytes.size() - 8, " after its length");
  const auto header = bytes.subspan(8, static_cast<std::size_t>(length));
  const auto buffer = bytes.subspan(8 + static_cast<std::size_t>(length));
  require<FormatError>(!header.empty() && header[0] == std::byte{'{'}, where,
                       ": not a safetensors file: the header does not begin with '{'");
  // The JSON parser takes a zero byte for the end and would not look at what follows.
  require<FormatError>(std::find(header.begin(), header.end(), std::byte{0}) == header.end(), where,
                       ": header has a zero byte");

  detail::SafetensorsHeaderHandler handler(where);
  const char* text = reinterpret_cast<const char*>(header.data());
  nlohmann::json::sax_parse(text, text + header.size(), &handler);

  SafetensorsFile file;
  file.where_ = where;
  file.bytes_ = bytes;
  file.metadata_ = std::move(handler.metadata);
  file.tensors_.reserve(handler.claims.size());
  for (const detail::TensorClaim& claim : handler.claims) {
    file.tensors_.push_back(detail::checked_tensor(claim, buffer, where));
  }
  std::stable_sort(file.tensors_.begin(), file.tensors_.end(),
                   [](const StoredTensor& a, const StoredTensor& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  std::uint64_t covered = 0;
  for (const StoredTensor& tensor : file.tensors_) {
    require<FormatError>(tensor.begin == covered, where, ": tensor '",
                         detail::shown_name(tensor.name), "' begins at byte ", tensor.begin,
                         ", expected ", covered, ": tensors must neither overlap nor leave gaps");
    covered = tensor.end;
  }
  require<FormatError>(covered == buffer.size(), where, ": tensors cover ", covered, " of ",
                       buffer.size(), " bytes");
  for (std::size_t i = 0; i < file.tensors_.size(); ++i) {
    file.index_.emplace(file.tensors_[i].name, i);
  }
  return file;
}

DEEPLIGHT_INLINE SafetensorsFile SafetensorsFile::open(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  require<FileError>(fs::exists(status), "cannot read '", path, "': no such file");
  require<FileError>(fs::is_regular_file(status), "cannot read '", path, "': not a regular file");
  const std::uintmax_t size = fs::file_size(path, code);
  require<FileError>(!code, "cannot read '", path, "': ", code.message());
  std::ifstream stream(path, std::ios::binary);
  require<FileError>(stream.good(), "cannot read '", path, "': ", std::strerror(errno));

  // In memory, not mapped: a file cut short by another process must not end in SIGBUS.
  auto storage = std::make_shared<std::vector<std::byte>>();
  try {
    storage->resize(static_cast<std::size_t>(size));
  } catch (const std::exception&) {
    throw OutOfMemory(concat("cannot read '", path, "': ", size, " bytes do not fit in memory"));
  }
  stream.read(reinterpret_cast<char*>(storage->data()), static_cast<std::streamsize>(size));
  require<FileError>(static_cast<std::uintmax_t>(stream.gcount()) == size, "cannot read '", path,
                     "': input error after ", stream.gcount(), " of ", size, " bytes");
  SafetensorsFile file = parse(*storage, path);
  file.storage_ = std::move(storage);
  return file;
}

DEEPLIGHT_INLINE const StoredTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

DEEPLIGHT_INLINE const StoredTensor& SafetensorsFile::at(std::string_view name) const {
  const StoredTensor* found = find(name);
  if (found == nullptr) {
    std::vector<std::string> names;
    for (const StoredTensor& tensor : tensors_) names.push_back(tensor.name);
    throw FormatError(
        concat(where_, ": no tensor '", name, "'; nearest is '", nearest_name(name, names), "'"));
  }
  return *found;
}

DEEPLIGHT_INLINE void write_safetensors(const std::string& path, std::vector<StoredTensor> tensors,
                                        const std::map<std::string, std::string>& metadata) {
  std::set<std::string> names;
  require(tensors.size() <= SafetensorsLimits::tensors, path, ": ", tensors.size(),
          " tensors, at most ", SafetensorsLimits::tensors, " are written");
  for (const StoredTensor& tensor : tensors) {
    require(tensor.name != "__metadata__", path, ": '__metadata__' cannot name a tensor");
    require(names.insert(tensor.name).second, path, ": tensor '", tensor.name, "' is there twice");
    require(tensor.shape.size() <= SafetensorsLimits::rank, path, ": tensor '", tensor.name,
            "' has more than ", SafetensorsLimits::rank, " dimensions");
    std::uint64_t bytes = storage_size(tensor.type);
    for (const std::int64_t side : tensor.shape) {
      require(side >= 0 && detail::multiply_into(bytes, static_cast<std::uint64_t>(side)), path,
              ": tensor '", tensor.name, "' has an impossible side of ", side);
    }
    require(bytes == tensor.data.size(), path, ": tensor '", tensor.name, "' has ",
            tensor.data.size(), " bytes, its shape and type need ", bytes);
  }
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    const int order_a = detail::storage_row(a.type).order;
    const int order_b = detail::storage_row(b.type).order;
    return order_a != order_b ? order_a > order_b : a.name < b.name;
  });
  std::string header;
  try {
    header = detail::safetensors_header(tensors, metadata);
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(concat(path, ": a name or metadata is not UTF-8: ", error.what()));
  }
  require(header.size() <= SafetensorsLimits::header_bytes, path, ": header of ", header.size(),
          " bytes, at most ", SafetensorsLimits::header_bytes);
  const std::uint64_t length = header.size();
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(&length, 1)),
                                                std::as_bytes(std::span(header))};
  for (const StoredTensor& tensor : tensors) parts.push_back(tensor.data);
  write_file_atomically(path, parts);
}

}  // namespace deeplight
