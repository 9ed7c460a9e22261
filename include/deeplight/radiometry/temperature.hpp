// Temperatures: units as files state them, conversion to kelvin, and what no land surface has.
//
// Units are read from a file or given by the user. Nothing is guessed from the values.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight::radiometry {

enum class TemperatureUnits { kelvin, celsius };

DEEPLIGHT_ENUM(TemperatureUnits,
               {{TemperatureUnits::kelvin, "kelvin"}, {TemperatureUnits::celsius, "celsius"}})

inline constexpr double celsius_zero = 273.15;  ///< K

/// Land surfaces lie between; a value outside is in other units, not decoded, or fill.
inline constexpr double lowest_kelvin = 100.0;
inline constexpr double highest_kelvin = 400.0;

/// What a unit text of a file means; nothing where it is no temperature that is known.
///
/// Case and surrounding spaces do not matter. Known are the forms of CF and UDUNITS and of common
/// writers: K, kelvin, kelvins, degK, °K; C, degC, °C, celsius, degree(s)_celsius, Celsius degrees.
inline std::optional<TemperatureUnits> temperature_units(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (c != ' ' && c != '_' && c != '\t') plain += upper ? static_cast<char>(c + 32) : c;
  }
  static constexpr std::array<std::string_view, 8> kelvin{
      "k", "kelvin", "kelvins", "degk", "\xc2\xb0k", "degkelvin", "degreekelvin", "degreeskelvin"};
  static constexpr std::array<std::string_view, 9> celsius{"c",
                                                           "celsius",
                                                           "degc",
                                                           "\xc2\xb0"
                                                           "c",
                                                           "degcelsius",
                                                           "degreecelsius",
                                                           "degreescelsius",
                                                           "celsiusdegrees",
                                                           "degreesc"};
  for (const auto known : kelvin) {
    if (plain == known) return TemperatureUnits::kelvin;
  }
  for (const auto known : celsius) {
    if (plain == known) return TemperatureUnits::celsius;
  }
  return std::nullopt;
}

/// Units of a file: the option where it is given, else what the file states.
///
/// @param stated  unit text of the file; may be empty
/// @param option  "kelvin", "celsius", or empty
/// @param file    for messages
/// @throws InvalidArgument  neither says, the file's text is no temperature, or the two disagree
inline TemperatureUnits settle_temperature_units(const std::string& stated,
                                                 const std::string& option,
                                                 const std::string& file) {
  const auto known = temperature_units(stated);
  if (option.empty()) {
    require(!stated.empty(), "'", file,
            "' states no units: a temperature needs 'kelvin' or 'celsius', given as an option");
    require(known.has_value(), "'", file, "' is in '", stated,
            "', which is no temperature that is known: kelvin or celsius");
    return *known;
  }
  const auto wanted = enum_from_string<TemperatureUnits>(option);
  require(!known || *known == wanted, "'", file, "' states units '", stated, "', the option says '",
          option, "'");
  return wanted;
}

constexpr double to_kelvin(double value, TemperatureUnits units) {
  return units == TemperatureUnits::celsius ? value + celsius_zero : value;
}
constexpr double from_kelvin(double kelvin, TemperatureUnits units) {
  return units == TemperatureUnits::celsius ? kelvin - celsius_zero : kelvin;
}

/// @param minimum,maximum  of the valid values of a file, K
/// @throws InvalidArgument  outside [lowest_kelvin, highest_kelvin]; names the file
inline void check_kelvin(double minimum, double maximum, const std::string& file) {
  require(minimum >= lowest_kelvin && maximum <= highest_kelvin, "'", file, "' holds ", minimum,
          " to ", maximum, " K after decoding, a land surface lies in [", lowest_kelvin, ", ",
          highest_kelvin, "] K: is it in degrees Celsius, a scaled integer whose scale and offset ",
          "the file does not state, or is its fill value not marked as nodata?");
}

}  // namespace deeplight::radiometry
