// Definitions of quality_mask.hpp.
#pragma once

#include <charconv>
#include <string_view>

#include "deeplight/core/errors.hpp"
#include "deeplight/raster/alignment_inl.hpp"
#include "deeplight/raster/quality_mask.hpp"

namespace deeplight {

DEEPLIGHT_INLINE QualityMask QualityMask::parse(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  require(colon != std::string::npos && colon > 0 && colon + 1 < text.size(), "'", text,
          "' is no quality mask; it is written FILE:BITS, such as qa.tif:0,1,4-7");
  QualityMask quality;
  std::string file = text.substr(0, colon);
  const std::size_t at = file.rfind('@');
  if (at != std::string::npos && at > 0) {
    const auto [next, error] =
        std::from_chars(file.data() + at + 1, file.data() + file.size(), quality.band);
    if (error == std::errc{} && next == file.data() + file.size() && quality.band >= 0) {
      file.resize(at);
    } else {
      quality.band = 0;  // a file's name
    }
  }
  quality.path = file;
  const char* place = text.data() + colon + 1;
  const char* const end = text.data() + text.size();
  const auto number = [&] {
    int bit = -1;
    const auto [next, error] = std::from_chars(place, end, bit);
    require(error == std::errc{} && bit >= 0 && bit <= 31, "quality bits are 0 to 31, got '",
            text.substr(colon + 1), "' in '", text, "'");
    place = next;
    return bit;
  };
  while (true) {
    const int first = number();
    int last = first;
    if (place != end && *place == '-') {
      ++place;
      last = number();
    }
    require(last >= first, "the bits ", first, "-", last, " in '", text, "' run backwards");
    for (int bit = first; bit <= last; ++bit) quality.bits |= std::uint32_t{1} << bit;
    if (place == end) return quality;
    require(*place == ',', "'", text.substr(colon + 1), "' in '", text,
            "' is no list of bits such as 0,1,4-7");
    ++place;
  }
}

DEEPLIGHT_INLINE std::string QualityMask::bit_list() const {
  std::string text;
  for (int bit = 0; bit < 32; ++bit) {
    if ((bits >> bit & 1U) != 0) text += concat(text.empty() ? "" : ",", bit);
  }
  return text;
}

DEEPLIGHT_INLINE RasterReader mask_by_quality(const RasterReader& raster,
                                              const QualityMask& quality,
                                              const RasterLimits& limits) {
  require(quality.bits != 0, "quality mask '", quality.path.string(), "' names no bits");
  const RasterReader file(quality.path, limits);
  const RasterInfo& info = raster.info();
  const std::string misfit =
      detail::guide_misfit(info, file.info(), concat("quality mask '", file.info().path, "'"), 1);
  require<GridMismatch>(misfit.empty(), misfit);
  file.read_bits({0, 0, 1, 1}, quality.band);  // refuses a band without bits now, not midway
  const std::string& dtype = file.info().bands[static_cast<std::size_t>(quality.band)].dtype;
  const int width = dtype == "uint8" ? 8 : dtype.ends_with("16") ? 16 : 32;
  require(width == 32 || quality.bits >> width == 0, "quality mask '", file.info().path, "': band ",
          quality.band, " (counted from 0) holds ", dtype, ", bits 0 to ", width - 1,
          "; asked for ", quality.bit_list());
  const auto read_window = [raster, file, quality](const Window& window,
                                                   const std::vector<std::int64_t>& bands) {
    Block block = raster.read(window, bands);
    const std::vector<std::uint32_t> values = file.read_bits(window, quality.band);
    const Block known = file.read(window, {quality.band});
    const std::size_t pixels = values.size();
    for (std::size_t index = 0; index < block.values.size(); ++index) {
      const std::size_t pixel = index % pixels;
      if ((values[pixel] & quality.bits) == 0 && known.valid.data()[pixel] != 0) continue;
      block.valid.data()[index] = 0;
      block.values.data()[index] = 0.0F;
    }
    return block;
  };
  return RasterReader::compose(info, read_window, limits);
}

}  // namespace deeplight
