// Options aggregates <-> JSON, strictly.
//
// An options aggregate is described once, by DEEPLIGHT_OPTIONS(Type, field, ...) and, for its
// enumerations, DEEPLIGHT_ENUM. Factories, Python keyword arguments, the model card and
// `deeplight info` all read that one description. Strict means: an unknown key names the nearest
// known one, an unknown enumeration string lists the known ones, and a number that would change its
// value in the conversion (2.5 -> 2, true -> 1) is an error. Therefore real options are `double`
// (0.1 is no float), and a free-form field is a `Json` that is null by default.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/nearest_name.hpp"

/// Fields of an options aggregate; absent keys keep their defaults.
#define DEEPLIGHT_OPTIONS(Type, ...)                                                            \
  inline void to_json(nlohmann::ordered_json& nlohmann_json_j, const Type& nlohmann_json_t) {   \
    nlohmann_json_j = nlohmann::ordered_json::object();                                         \
    NLOHMANN_JSON_EXPAND(NLOHMANN_JSON_PASTE(NLOHMANN_JSON_TO, __VA_ARGS__))                    \
  }                                                                                             \
  inline void from_json(const nlohmann::ordered_json& nlohmann_json_j, Type& nlohmann_json_t) { \
    const Type nlohmann_json_default_obj{};                                                     \
    NLOHMANN_JSON_EXPAND(NLOHMANN_JSON_PASTE(NLOHMANN_JSON_FROM_WITH_DEFAULT, __VA_ARGS__))     \
  }

/// String names of an enumeration: DEEPLIGHT_ENUM(Padding, {{Padding::zeros, "zeros"}, ...}).
#define DEEPLIGHT_ENUM(Type, ...)                                                          \
  inline const std::vector<std::pair<Type, std::string>>& enum_names(Type) {               \
    static const std::vector<std::pair<Type, std::string>> names = __VA_ARGS__;            \
    return names;                                                                          \
  }                                                                                        \
  inline void to_json(nlohmann::ordered_json& json, const Type& value) {                   \
    json = ::deeplight::enum_to_string(value);                                             \
  }                                                                                        \
  inline void from_json(const nlohmann::ordered_json& json, Type& value) {                 \
    value = ::deeplight::enum_from_string<Type>(json.is_string() ? json.get<std::string>() \
                                                                 : json.dump());           \
  }

namespace deeplight {

/// JSON whose objects keep the order in which keys were written.
using Json = nlohmann::ordered_json;

template <class Enum>
std::string enum_to_string(Enum value) {
  for (const auto& [known, name] : enum_names(value)) {
    if (known == value) return name;
  }
  throw InvalidArgument("enumeration value without a name");
}

template <class Enum>
Enum enum_from_string(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [value, known_name] : enum_names(Enum{})) {
    if (known_name == name) return value;
    known.push_back(known_name);
  }
  throw InvalidArgument(concat("'", name, "' is not one of ", joined(known)));
}

namespace detail {

inline std::string type_name(const Json& value) {
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  if (value.is_boolean()) return "true or false";
  if (value.is_string()) return "a string";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "a table";
  return "null";
}

inline void check_keys(const Json& given, const Json& known, const std::string& where) {
  require(given.is_object(), "options", where.empty() ? "" : " '" + where + "'",
          " must be a table of names and values, got ", type_name(given));
  std::vector<std::string> names;
  for (const auto& [key, value] : known.items()) names.push_back(key);
  for (const auto& [key, value] : given.items()) {
    const std::string path = where.empty() ? key : where + "." + key;
    require(known.contains(key), "unknown option '", path, "'; did you mean '",
            nearest_name(key, names), "'? Known: ", joined(names));
    const Json& standard = known.at(key);
    if (standard.is_object()) {
      check_keys(value, standard, path);
      continue;
    }
    const bool same_kind = standard.is_null() || value.type() == standard.type() ||
                           (value.is_number() && standard.is_number());
    require(same_kind, "option '", path, "' must be ", type_name(standard), ", got ", value.dump());
  }
}

// nlohmann compares 2^63 with -2^63 and 2^53 + 1 with 2^53 as equal; a lossless reading must not.
inline bool same_value(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) {
    const auto exact = [](const Json& number) {
      if (number.is_number_unsigned()) return static_cast<long double>(number.get<std::uint64_t>());
      if (number.is_number_integer()) return static_cast<long double>(number.get<std::int64_t>());
      return static_cast<long double>(number.get<double>());
    };
    return exact(a) == exact(b);
  }
  return a == b;
}

// Every value given must be found again in what was read; defaults may have been added.
inline void check_round_trip(const Json& given, const Json& read, const std::string& where) {
  if (given.is_object() && read.is_object()) {
    std::vector<std::string> names;
    for (const auto& [key, value] : read.items()) names.push_back(key);
    for (const auto& [key, value] : given.items()) {
      const std::string path = where.empty() ? key : where + "." + key;
      require(read.contains(key), "unknown option '", path, "'; did you mean '",
              nearest_name(key, names), "'? Known: ", joined(names));
      check_round_trip(value, read.at(key), path);
    }
  } else if (given.is_array() && read.is_array() && given.size() == read.size()) {
    for (std::size_t i = 0; i < given.size(); ++i) {
      check_round_trip(given[i], read[i], where + "[" + std::to_string(i) + "]");
    }
  } else {
    require(same_value(given, read), "option '", where, "' cannot be ", given.dump(),
            " (it would become ", read.dump(), ")");
  }
}

// The option whose value alone cannot be read, and why: the whole reading names no key.
template <class Options>
[[noreturn]] void throw_culprit(const Json& given, const std::string& reason) {
  for (const auto& [key, value] : given.items()) {
    try {
      Json single = Json::object();
      single[key] = value;
      (void)single.get<Options>();
    } catch (const std::exception& error) {
      throw InvalidArgument(
          concat("option '", key, "' cannot be ", value.dump(), ": ", error.what()));
    }
  }
  throw InvalidArgument(concat("options ", given.dump(), ": ", reason));
}

}  // namespace detail

/// Reads `Options` from JSON.
/// @param given  an object; absent keys keep the aggregate's defaults.
/// @throws InvalidArgument  unknown key, wrong type, lossy number, unknown enumeration string.
template <class Options>
Options options_from_json(const Json& given) {
  detail::check_keys(given, Json(Options{}), "");
  Options options;
  try {
    options = given.get<Options>();
  } catch (const std::exception& error) {
    detail::throw_culprit<Options>(given, error.what());
  }
  detail::check_round_trip(given, Json(options), "");
  return options;
}

/// Writes every field of `options`, defaults included.
template <class Options>
Json options_to_json(const Options& options) {
  return Json(options);
}

}  // namespace deeplight
