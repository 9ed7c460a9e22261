// The JSON header of a safetensors file, read event by event into a flat list of claims.
//
// Grammar: { "__metadata__": {string: string}, name: {"dtype": string, "shape": [unsigned...],
// "data_offsets": [unsigned, unsigned]}, ... }. Whatever else appears is refused where it appears,
// so nothing is allocated for it. Whether the claims fit the file is checked in
// safetensors_inl.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/weights/safetensors_limits.hpp"

namespace deeplight::detail {

/// What the header says about one tensor, unchecked.
struct TensorClaim {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> offsets;
};

/// A name for a message: a hostile one may be megabytes long. Cut between UTF-8 characters.
inline std::string shown_name(const std::string& name) {
  if (name.size() <= 80) return name;
  std::size_t length = 77;
  while (length > 0 && (static_cast<unsigned char>(name[length]) & 0xC0) == 0x80) --length;
  return name.substr(0, length) + "...";
}

/// Event handler of nlohmann's parser. Throws FormatError at the first thing that does not belong.
class SafetensorsHeaderHandler {
 public:
  using number_integer_t = std::int64_t;
  using number_unsigned_t = std::uint64_t;
  using number_float_t = double;
  using string_t = std::string;
  using binary_t = nlohmann::json::binary_t;

  explicit SafetensorsHeaderHandler(const std::string& where) : where_(where) {}

  std::vector<TensorClaim> claims;
  std::map<std::string, std::string> metadata;

  bool null() { return refuse("null"); }
  bool boolean(bool) { return refuse("true or false"); }
  // The parser calls this for a number with a minus sign only.
  bool number_integer(number_integer_t value) { return refuse(concat("the number ", value)); }
  bool number_float(number_float_t, const string_t& text) {
    return refuse(concat("the number ", text.substr(0, 40), ", not an unsigned 64-bit integer"));
  }
  bool binary(binary_t&) { return refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) {
    if (place_ == Place::shape) {
      check(claims.back().shape.size() < SafetensorsLimits::rank, "has more than ",
            SafetensorsLimits::rank, " dimensions");
      claims.back().shape.push_back(value);
    } else if (place_ == Place::offsets) {
      check(claims.back().offsets.size() < 2, "has more than two data_offsets");
      claims.back().offsets.push_back(value);
    } else {
      refuse(concat("the number ", value));
    }
    return true;
  }

  bool string(string_t& value) {
    if (place_ == Place::metadata) {
      metadata[key_] = value;
    } else if (place_ == Place::tensor && key_ == "dtype") {
      claims.back().dtype = value;
    } else {
      refuse("a string");
    }
    return true;
  }

  bool start_object(std::size_t) {
    enter();
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (place_ == Place::top && key_ == "__metadata__") {
      place_ = Place::metadata;
    } else if (place_ == Place::top) {
      check(claims.size() < SafetensorsLimits::tensors, "is one of more than ",
            SafetensorsLimits::tensors, " tensors");
      claims.push_back({key_, {}, {}, {}});
      place_ = Place::tensor;
      fields_.clear();
    } else {
      refuse("a table");
    }
    return true;
  }

  bool end_object() {
    --nesting_;
    if (place_ == Place::tensor) {
      check(fields_.size() == 3, "lacks one of dtype, shape, data_offsets");
      check(claims.back().offsets.size() == 2, "needs two data_offsets");
    }
    place_ = place_ == Place::top ? Place::finished : Place::top;
    return true;
  }

  bool key(string_t& name) {
    key_ = name;
    if (place_ == Place::top) {
      tensor_ = name;
      check(names_.insert(name).second, "is there twice");
    } else if (place_ == Place::metadata) {
      require<FormatError>(metadata.emplace(name, "").second, where_, ": metadata '",
                           shown_name(name), "' is there twice");
    } else {
      check(name == "dtype" || name == "shape" || name == "data_offsets", "has the unknown field '",
            shown_name(name), "'");
      check(fields_.insert(name).second, "has '", name, "' twice");
    }
    return true;
  }

  bool start_array(std::size_t) {
    enter();
    if (place_ == Place::tensor && key_ == "shape") {
      place_ = Place::shape;
    } else if (place_ == Place::tensor && key_ == "data_offsets") {
      place_ = Place::offsets;
    } else {
      refuse("a list");
    }
    return true;
  }

  bool end_array() {
    --nesting_;
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& why) {
    // The parser quotes what it read last, which need not be UTF-8.
    std::string reason = why.what();
    for (char& character : reason) {
      if (static_cast<unsigned char>(character) >= 0x80) character = '?';
    }
    throw FormatError(
        concat(where_, ": header is not valid JSON at byte ", position, ": ", shown_name(reason)));
  }

 private:
  enum class Place { outside, top, metadata, tensor, shape, offsets, finished };

  template <class... Parts>
  void check(bool condition, const Parts&... parts) const {
    require<FormatError>(condition, where_, ": tensor '", shown_name(tensor_), "' ", parts...);
  }

  bool refuse(const std::string& what) const {
    throw FormatError(concat(where_, ": header has ", what, " where it does not belong",
                             tensor_.empty() ? "" : ", in '" + shown_name(tensor_) + "'"));
  }

  void enter() {
    require<FormatError>(++nesting_ <= SafetensorsLimits::nesting, where_,
                         ": header nested deeper than ", SafetensorsLimits::nesting);
  }

  std::string where_;
  Place place_ = Place::outside;
  int nesting_ = 0;
  std::string key_;
  std::string tensor_;            // of the top level, for messages
  std::set<std::string> names_;   // of the top level, "__metadata__" included
  std::set<std::string> fields_;  // of the current tensor
};

}  // namespace deeplight::detail
