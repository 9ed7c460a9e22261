// Landsat quality bands: what their bits say, and refusing to read one collection as another.
//
// QA_PIXEL: Collection 2 (LSDS-1619, table 6-3). BQA: Landsat 8 Collection 1 level 1 (LSDS-1873).
// The bits of the two differ, and nothing in a file but its name says which it is; so names are
// read, and values that the named collection never writes are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight::radiometry {

enum class QualityScheme {
  qa_pixel,  ///< Collection 2
  bqa,       ///< Landsat 8 Collection 1 level 1
};

DEEPLIGHT_ENUM(QualityScheme, {{QualityScheme::qa_pixel, "qa_pixel"}, {QualityScheme::bqa, "bqa"}})

/// A pixel's quality. Confidences: 0 not determined, 1 low, 2 medium, 3 high.
struct Quality {
  bool fill = false;
  bool cloud = false;
  bool dilated_cloud = false;  ///< QA_PIXEL
  bool cirrus = false;         ///< QA_PIXEL; BQA: high confidence
  bool shadow = false;         ///< QA_PIXEL; BQA: high confidence
  bool snow = false;           ///< QA_PIXEL; BQA: high confidence
  bool clear = false;          ///< QA_PIXEL: neither cloud nor dilated cloud
  bool water = false;          ///< QA_PIXEL
  bool occluded = false;       ///< BQA: terrain hides the ground
  int saturated_bands = 0;     ///< BQA: 0 none, 1 one or two, 2 three or four, 3 five or more
  int cloud_confidence = 0;
  int shadow_confidence = 0;
  int snow_confidence = 0;
  int cirrus_confidence = 0;
};

/// Which collection a quality band is of, from its file name.
/// @throws InvalidArgument  Collection 1 `pixel_qa` (level 2; other bits), or a name that says
///     nothing
inline QualityScheme quality_scheme(std::string_view file) {
  std::string upper;
  for (const char c : file.substr(file.find_last_of("/\\") + 1)) {
    upper += c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  }
  const auto holds = [&](std::string_view part) { return upper.find(part) != std::string::npos; };
  require(!holds("PIXEL_QA"), "'", file,
          "' is a Collection 1 level-2 quality band (pixel_qa), whose bits differ from those of ",
          "QA_PIXEL: only Collection 2 (QA_PIXEL) and Collection 1 level 1 (BQA) are read");
  const bool second = holds("QA_PIXEL");
  const bool first = holds("BQA");
  require(second != first, "'", file,
          "' does not say which quality band it is: expected QA_PIXEL (Collection 2) or BQA ",
          "(Collection 1 level 1) in its name");
  const std::string_view other = second ? "_01_" : "_02_";
  require(!holds(std::string(other) + "T") && !holds(std::string(other) + "RT"), "'", file,
          "' is named after a product of collection ", other.substr(2, 1), ", its quality band ",
          second ? "QA_PIXEL is of collection 2" : "BQA is of collection 1");
  return second ? QualityScheme::qa_pixel : QualityScheme::bqa;
}

/// Whether a scheme can have written a value.
///
/// QA_PIXEL: outside the fill, bit 6 is set exactly where bits 1 and 3 are not. BQA: bits 13 to 15
/// are not used, and the cirrus confidence is never medium. A clear pixel of either fails the
/// other's rule.
constexpr bool quality_plausible(std::uint16_t value, QualityScheme scheme) {
  if ((value & 1U) != 0) return true;
  if (scheme == QualityScheme::qa_pixel) {
    const bool clear = (value >> 6 & 1U) != 0;
    const bool cloudy = (value >> 1 & 1U) != 0 || (value >> 3 & 1U) != 0;
    return clear != cloudy;
  }
  return (value >> 13) == 0 && (value >> 11 & 3U) != 2;
}

/// The bits of a value.
constexpr Quality quality(std::uint16_t value, QualityScheme scheme) {
  const auto bit = [value](int place) { return (value >> place & 1U) != 0; };
  const auto two = [value](int place) { return static_cast<int>(value >> place & 3U); };
  Quality result;
  result.fill = bit(0);
  if (scheme == QualityScheme::qa_pixel) {
    result.dilated_cloud = bit(1);
    result.cirrus = bit(2);
    result.cloud = bit(3);
    result.shadow = bit(4);
    result.snow = bit(5);
    result.clear = bit(6);
    result.water = bit(7);
    result.cloud_confidence = two(8);
    result.shadow_confidence = two(10);
    result.snow_confidence = two(12);
    result.cirrus_confidence = two(14);
    return result;
  }
  result.occluded = bit(1);
  result.saturated_bands = two(2);
  result.cloud = bit(4);
  result.cloud_confidence = two(5);
  result.shadow_confidence = two(7);
  result.snow_confidence = two(9);
  result.cirrus_confidence = two(11);
  result.shadow = result.shadow_confidence == 3;
  result.snow = result.snow_confidence == 3;
  result.cirrus = result.cirrus_confidence == 3;
  return result;
}

/// Whether the ground is seen. Snow and water are ground.
///
/// QA_PIXEL: bits 0 to 4 zero and no band saturated. BQA: no fill, occlusion, saturation or cloud,
/// and confidence of cloud, shadow and cirrus at most low.
/// @param saturation  QA_RADSAT of the pixel (Collection 2); 0 where there is none
constexpr bool clear_sky(std::uint16_t value, QualityScheme scheme, std::uint16_t saturation = 0) {
  if (scheme == QualityScheme::qa_pixel) return (value & 0x1FU) == 0 && saturation == 0;
  const Quality q = quality(value, scheme);
  return !q.fill && !q.occluded && q.saturated_bands == 0 && !q.cloud && q.cloud_confidence <= 1 &&
         q.shadow_confidence <= 1 && q.cirrus_confidence <= 1 && saturation == 0;
}

/// @param values  a quality band
/// @throws InvalidArgument  a value that the scheme never writes: the band is of another collection
inline void check_quality(const std::uint16_t* values, std::size_t count, QualityScheme scheme,
                          const std::string& file) {
  for (std::size_t index = 0; index < count; ++index) {
    require(quality_plausible(values[index], scheme), "'", file, "' holds ", values[index],
            ", which is no value of ",
            scheme == QualityScheme::qa_pixel ? "QA_PIXEL (Collection 2)"
                                              : "BQA (Collection 1 level 1)",
            ": is it the quality band of another collection?");
  }
}

}  // namespace deeplight::radiometry
