// The JSON card beside a weights file: what a network needs to meet a raster, and how it was made.
//
// "model.safetensors" has its card in "model.json". The card is the only place that knows physics:
// units, value transform, normalisation, guide order, nodata rule, the cell size trained on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight {

/// Invertible value transform T applied before normalisation.
enum class ValueTransform {
  linear,  ///< T(v) = v
  log1p,   ///< T(v) = log(1 + v), v > -1
  asinh,   ///< T(v) = asinh(v)
};
DEEPLIGHT_ENUM(ValueTransform, {{ValueTransform::linear, "linear"},
                                {ValueTransform::log1p, "log1p"},
                                {ValueTransform::asinh, "asinh"}})

/// A single-band image as the network sees it: (T(x / transform_scale) - mean) / std.
struct ImageDescription {
  std::string units = {};                             ///< of x, e.g. "nW/cm2/sr"
  ValueTransform transform = ValueTransform::linear;  ///< T
  double transform_scale = 1.0;                       ///< units of x, above 0
  double mean = 0.0;                                  ///< of T(x / transform_scale)
  double std = 1.0;                                   ///< of T(x / transform_scale), above 0
  double minimum = 0.0;                               ///< smallest x seen in training, in `units`
  double maximum = 0.0;                               ///< largest x seen in training, in `units`
};
DEEPLIGHT_OPTIONS(ImageDescription, units, transform, transform_scale, mean, std, minimum, maximum)

/// What a network sees of a guide beside its normalised values x; c_w = x - mean of x over a box of
/// w x w pixels, for each window w of `Preprocessing::contrast_windows`.
enum class GuideContrast {
  none,          ///< nothing
  difference,    ///< c_w
  standardised,  ///< c_w / (sqrt(mean of c_w^2 over the box) + spread_w / 2)
};
DEEPLIGHT_ENUM(GuideContrast, {{GuideContrast::none, "none"},
                               {GuideContrast::difference, "difference"},
                               {GuideContrast::standardised, "standardised"}})

/// One guide raster, normalised as (T(v / transform_scale) - mean) / std. The lists have one
/// element per band, or none where nothing is known.
struct GuideDescription {
  std::string name = {};
  std::int64_t bands = 1;                             ///< bands of the raster
  std::string units = {};                             ///< of every band
  std::vector<std::string> band_names = {};           ///< in raster order
  ValueTransform transform = ValueTransform::linear;  ///< T, for values with a long tail
  double transform_scale = 1.0;                       ///< units of v, above 0
  std::vector<double> mean = {};                      ///< of T(v / transform_scale); empty: 0
  std::vector<double> std = {};                       ///< likewise; empty: 1; each above 0
  std::vector<double> minimum = {};                   ///< smallest value seen in training
  std::vector<double> maximum = {};                   ///< largest value seen in training
  /// With contrast the network sees (1 + windows) * bands: all values, then all of each window.
  GuideContrast contrast = GuideContrast::none;
  /// spread_w, [windows][bands]: standard deviation of c_w in training, above 0. `standardised`
  /// only.
  std::vector<std::vector<double>> contrast_spread = {};
};
DEEPLIGHT_OPTIONS(GuideDescription, name, bands, units, band_names, transform, transform_scale,
                  mean, std, minimum, maximum, contrast, contrast_spread)

/// How rasters become network inputs and network outputs become rasters.
struct Preprocessing {
  ImageDescription low_resolution = {};
  ImageDescription output = {};               ///< absent in the file: the same as `low_resolution`
  std::vector<GuideDescription> guides = {};  ///< in the network's order
  std::vector<std::int64_t> contrast_windows = {17};  ///< sides of boxes, output pixels, odd
};
DEEPLIGHT_OPTIONS(Preprocessing, low_resolution, output, guides, contrast_windows)

/// Everything that is written beside a weights file.
struct Card {
  std::string format = "deeplight-card-1";
  std::string name = {};          ///< e.g. "black-marble-x8"
  std::string description = {};   ///< a few words for `deeplight list`
  std::string architecture = {};  ///< registered name, e.g. "deeplight_sr"
  Json options = {};              ///< of the architecture; an object
  std::int64_t scale = 1;         ///< output pixels per low-resolution pixel along each side
  Preprocessing preprocessing;
  std::string nodata_rule = {};        ///< what training did with invalid pixels
  std::vector<double> cell_size = {};  ///< low-resolution cell x, y in `cell_size_units`, or empty
  std::string cell_size_units = {};    ///< e.g. "degree", "metre"
  std::int64_t margin = 0;             ///< halo that makes tiles exact, low-resolution pixels
  std::string auxiliary_target = {};   ///< what the auxiliary head was trained on, or empty
  std::string weights_sha256 = {};     ///< of the safetensors file, 64 hex digits, or empty
  Json training = {};                  ///< data, split, schedule
  Json scores = {};                    ///< on which area, which metric
  std::string credits = {};            ///< of the data
  std::string license = {};            ///< of the weights
};
DEEPLIGHT_OPTIONS(Card, format, name, description, architecture, options, scale, preprocessing,
                  nodata_rule, cell_size, cell_size_units, margin, auxiliary_target, weights_sha256,
                  training, scores, credits, license)

/// "folder/x.safetensors" -> "folder/x.json".
std::string card_path_for(const std::string& weights_path);

/// Checks the rules that the comments above state.
/// @param where  named in the message, usually the card's path
/// @throws FormatError  a rule is broken
void validate_card(const Card& card, const std::string& where);

/// Reads a card from JSON text.
/// @param where  named in messages
/// @throws FormatError  not JSON, nested deeper than 32, above 16 MiB or 10,000 keys, a duplicate
///                      or unknown key, a wrong type, or a rule of `validate_card` broken
Card card_from_text(const std::string& text, const std::string& where);

/// The card as indented JSON text with a final newline.
std::string card_to_text(const Card& card);

/// @throws FileError, FormatError  as `card_from_text`; the file is named
Card read_card(const std::string& path);

/// Writes atomically: a temporary file beside `path`, flushed to disk, renamed.
/// @throws FormatError  the card is invalid
/// @throws FileError    the file cannot be written; nothing is left behind
void write_card(const std::string& path, const Card& card);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/weights/card_inl.hpp"
#endif
