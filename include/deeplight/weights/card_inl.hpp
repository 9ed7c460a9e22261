// Definitions of card.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>

#include "deeplight/core/atomic_file.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/weights/card.hpp"

namespace deeplight {
namespace detail {

inline constexpr std::size_t card_size_limit = std::size_t{16} << 20;
inline constexpr int card_nesting_limit = 32;
inline constexpr std::size_t card_key_limit = 10000;  // ordered objects are searched linearly

// Depth and duplicates are refused while parsing, before deep structure exists.
inline Json parse_card_json(const std::string& text, const std::string& where) {
  require<FormatError>(text.size() <= card_size_limit, where, ": card larger than ",
                       card_size_limit, " bytes");
  // The JSON parser takes a zero byte for the end and would not look at what follows.
  require<FormatError>(text.find('\0') == std::string::npos, where, ": card has a zero byte");
  std::vector<std::set<std::string>> keys;
  std::size_t key_count = 0;
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      require<FormatError>(depth < card_nesting_limit, where, ": card nested deeper than ",
                           card_nesting_limit);
    }
    if (event == Json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      require<FormatError>(++key_count <= card_key_limit, where, ": card has more than ",
                           card_key_limit, " keys");
      require<FormatError>(keys.back().insert(key).second, where, ": card has the key '", key,
                           "' twice");
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    throw FormatError(concat(where, ": card is not valid JSON: ", error.what()));
  }
}

inline void validate_image(const ImageDescription& image, const std::string& where) {
  require<FormatError>(std::isfinite(image.transform_scale) && image.transform_scale > 0, where,
                       ".transform_scale must be above 0, got ", image.transform_scale);
  require<FormatError>(std::isfinite(image.mean), where, ".mean must be finite, got ", image.mean);
  require<FormatError>(std::isfinite(image.std) && image.std > 0, where,
                       ".std must be above 0, got ", image.std);
  require<FormatError>(std::isfinite(image.minimum) && std::isfinite(image.maximum) &&
                           image.minimum <= image.maximum,
                       where, ": minimum must not exceed maximum, got ", image.minimum, " and ",
                       image.maximum);
}

inline void validate_guide(const GuideDescription& guide, const std::string& where) {
  require<FormatError>(!guide.name.empty(), where, ".name must not be empty");
  require<FormatError>(guide.bands >= 1 && guide.bands <= 65536, where,
                       ".bands must be in 1..65536, got ", guide.bands);
  const auto check_size = [&](const char* field, std::size_t size) {
    require<FormatError>(size == 0 || size == static_cast<std::size_t>(guide.bands), where, ".",
                         field, " must have one element per band (", guide.bands, ") or none, got ",
                         size);
  };
  check_size("band_names", guide.band_names.size());
  const std::pair<const char*, const std::vector<double>*> lists[] = {{"mean", &guide.mean},
                                                                      {"std", &guide.std},
                                                                      {"minimum", &guide.minimum},
                                                                      {"maximum", &guide.maximum}};
  for (const auto& [field, values] : lists) {
    check_size(field, values->size());
    for (const double value : *values) {
      require<FormatError>(std::isfinite(value), where, ".", field, " must be finite, got ", value);
    }
  }
  require<FormatError>(std::isfinite(guide.transform_scale) && guide.transform_scale > 0, where,
                       ".transform_scale must be above 0, got ", guide.transform_scale);
  for (const double value : guide.std) {
    require<FormatError>(value > 0, where, ".std must be above 0, got ", value);
  }
  require<FormatError>(guide.minimum.empty() == guide.maximum.empty(), where,
                       ": minimum and maximum go together");
  for (std::size_t band = 0; band < guide.minimum.size(); ++band) {
    require<FormatError>(guide.minimum[band] <= guide.maximum[band], where,
                         ": minimum must not exceed maximum, band ", band + 1, " has ",
                         guide.minimum[band], " and ", guide.maximum[band]);
  }
}

inline void validate_contrast(const GuideDescription& guide, std::size_t windows,
                              const std::string& where) {
  const bool standardised = guide.contrast == GuideContrast::standardised;
  require<FormatError>(guide.contrast_spread.size() == (standardised ? windows : 0), where,
                       ".contrast_spread must have ",
                       standardised ? "one list per window of contrast_windows ("
                                    : "no list unless contrast is 'standardised' (",
                       standardised ? windows : 0, "), got ", guide.contrast_spread.size());
  for (const std::vector<double>& spread : guide.contrast_spread) {
    require<FormatError>(spread.size() == static_cast<std::size_t>(guide.bands), where,
                         ".contrast_spread must have one number per band (", guide.bands,
                         ") for each window, got ", spread.size());
    for (const double value : spread) {
      require<FormatError>(std::isfinite(value) && value > 0, where,
                           ".contrast_spread must be above 0, got ", value);
    }
  }
}

inline void validate_windows(const std::vector<std::int64_t>& windows, const std::string& where) {
  require<FormatError>(!windows.empty(), where, ".contrast_windows must not be empty");
  std::set<std::int64_t> seen;
  for (const std::int64_t window : windows) {
    require<FormatError>(window >= 1 && window % 2 == 1, where,
                         ".contrast_windows must be odd and positive, got ", window);
    require<FormatError>(seen.insert(window).second, where, ".contrast_windows has ", window,
                         " twice");
  }
}

inline void validate_preprocessing(const Preprocessing& preprocessing, const std::string& where) {
  validate_image(preprocessing.low_resolution, where + ".low_resolution");
  validate_image(preprocessing.output, where + ".output");
  validate_windows(preprocessing.contrast_windows, where);
  std::set<std::string> names;
  for (std::size_t i = 0; i < preprocessing.guides.size(); ++i) {
    const GuideDescription& guide = preprocessing.guides[i];
    validate_guide(guide, concat(where, ".guides[", i, "]"));
    validate_contrast(guide, preprocessing.contrast_windows.size(),
                      concat(where, ".guides[", i, "]"));
    require<FormatError>(names.insert(guide.name).second, where, ".guides has '", guide.name,
                         "' twice");
  }
}

}  // namespace detail

DEEPLIGHT_INLINE std::string card_path_for(const std::string& weights_path) {
  return std::filesystem::path(weights_path).replace_extension(".json").string();
}

DEEPLIGHT_INLINE void validate_card(const Card& card, const std::string& where) {
  require<FormatError>(card.format == Card{}.format, where, ": card format must be '",
                       Card{}.format, "', got '", card.format, "'");
  require<FormatError>(!card.name.empty(), where, ": name must not be empty");
  require<FormatError>(!card.architecture.empty(), where, ": architecture must not be empty");
  require<FormatError>(card.options.is_object() || card.options.is_null(), where,
                       ": options must be a table, got ", card.options.dump());
  require<FormatError>(card.scale >= 1 && card.scale <= 64, where, ": scale must be in 1..64, got ",
                       card.scale);
  require<FormatError>(card.margin >= 0, where, ": margin must not be negative, got ", card.margin);
  require<FormatError>(card.cell_size.empty() || card.cell_size.size() == 2, where,
                       ": cell_size must be [x, y] or empty, got ", card.cell_size.size(),
                       " values");
  for (const double side : card.cell_size) {
    require<FormatError>(std::isfinite(side) && side > 0, where,
                         ": cell_size must be above 0, got ", side);
  }
  const std::string& hash = card.weights_sha256;
  const bool hexadecimal = hash.find_first_not_of("0123456789abcdef") == std::string::npos;
  require<FormatError>(hash.empty() || (hash.size() == 64 && hexadecimal), where,
                       ": weights_sha256 must be 64 lower-case hex digits, got '", hash, "'");
  detail::validate_preprocessing(card.preprocessing, where + ": preprocessing");
}

DEEPLIGHT_INLINE Card card_from_text(const std::string& text, const std::string& where) {
  Json json = detail::parse_card_json(text, where);
  Card card;
  try {
    card = options_from_json<Card>(json);
  } catch (const InvalidArgument& error) {
    throw FormatError(concat(where, ": ", error.what()));
  }
  if (!json.contains("preprocessing") || !json["preprocessing"].contains("output")) {
    card.preprocessing.output = card.preprocessing.low_resolution;
  }
  validate_card(card, where);
  return card;
}

DEEPLIGHT_INLINE std::string card_to_text(const Card& card) {
  try {
    return options_to_json(card).dump(2) + "\n";
  } catch (const Json::exception& error) {
    throw FormatError(concat("card '", card.name, "': ", error.what()));
  }
}

DEEPLIGHT_INLINE Card read_card(const std::string& path) {
  return card_from_text(read_text_file(path, detail::card_size_limit), path);
}

DEEPLIGHT_INLINE void write_card(const std::string& path, const Card& card) {
  validate_card(card, path);
  write_file_atomically(path, card_to_text(card));
}

}  // namespace deeplight
