// What `predict` checks before work begins, and what it warns about.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/nearest_name.hpp"
#include "deeplight/core/sha256.hpp"
#include "deeplight/data/preprocessor.hpp"
#include "deeplight/infer/kelvin_input.hpp"
#include "deeplight/infer/predict.hpp"
#include "deeplight/raster/alignment.hpp"
#include "deeplight/raster/quality_mask.hpp"
#include "deeplight/raster/raster_reader.hpp"

namespace deeplight::detail {

/// One low-resolution raster with all that its prediction needs, opened.
struct PredictJob {
  RasterReader low_resolution;
  std::vector<std::pair<std::string, RasterReader>> guides;  // in the card's order
  std::filesystem::path output;
  double nodata = std::numeric_limits<double>::quiet_NaN();
  std::optional<QualityMask> quality{};  // already in `low_resolution`
  std::string checksum{};                // of the low resolution's pixels and validity
};

/// Light of a low-resolution raster over its valid pixels.
struct LightSummary {
  std::int64_t valid = 0;
  double sum = 0.0;
  double minimum = std::numeric_limits<double>::infinity();
  double maximum = -std::numeric_limits<double>::infinity();
};

/// Windows of a bounded size that together are `window`; which ones follows from it alone.
template <class Visit>
void for_each_part(const Window& window, const Visit& visit) {
  constexpr std::int64_t high = 256, wide = 1024;
  for (std::int64_t row = 0; row < window.rows; row += high) {
    for (std::int64_t column = 0; column < window.columns; column += wide) {
      visit(Window{window.row + row, window.column + column, std::min(high, window.rows - row),
                   std::min(wide, window.columns - column)});
    }
  }
}

inline std::span<const std::byte> bytes_of(const void* data, std::size_t bytes) {
  return {static_cast<const std::byte*>(data), bytes};
}

/// Looks at every pixel once, in windows: light, and the checksum of pixels and validity.
inline std::pair<LightSummary, std::string> survey(const RasterReader& reader) {
  LightSummary light;
  Sha256 hash;
  for_each_part({0, 0, reader.grid().rows, reader.grid().columns}, [&](const Window& window) {
    const Block block = reader.read(window);
    hash.update(bytes_of(block.values.data(), block.values.size() * sizeof(float)));
    hash.update(bytes_of(block.valid.data(), block.valid.size()));
    for (std::size_t index = 0; index < block.values.size(); ++index) {
      if (block.valid.data()[index] == 0) continue;
      const double value = block.values.data()[index];
      ++light.valid;
      light.sum += value;
      light.minimum = std::min(light.minimum, value);
      light.maximum = std::max(light.maximum, value);
    }
  });
  return {light, "pixels:sha256:" + hash.hex()};
}

inline void check_card(const Network& network, const Card& card, const Preprocessor& preprocessor) {
  require(card.architecture.empty() || card.architecture == network.architecture(),
          "the card is for architecture '", card.architecture, "', the network is '",
          network.architecture(), "'");
  require(card.scale == network.scale(), "the card states scale ", card.scale,
          ", the network has scale ", network.scale());
  const auto text = [](const std::vector<Guide>& guides) {
    std::vector<std::string> parts;
    for (const Guide& guide : guides) parts.push_back(concat(guide.name, ":", guide.bands));
    return parts.empty() ? std::string("none") : joined(parts);
  };
  const std::string described = text(preprocessor.network_guides());
  const std::string built = text(network.guides());
  require(described == built, "the card's guides give the network ", described,
          " (name:channels), the network was built for ", built);
}

/// Whether the network looks at a guide: an ablation's option `without` names those that it does
/// not.
inline bool is_looked_at(const Card& card, const std::string& guide) {
  if (!card.options.is_object() || !card.options.contains("without")) return true;
  const Json& without = card.options.at("without");
  return std::find(without.begin(), without.end(), Json(guide)) == without.end();
}

inline void check_guide_names(const Card& card, const PredictRequest& request) {
  std::vector<std::string> known;
  for (const GuideDescription& guide : card.preprocessing.guides) known.push_back(guide.name);
  std::set<std::string> given;
  for (const auto& [name, path] : request.guides) {
    const bool expected = std::find(known.begin(), known.end(), name) != known.end();
    require(expected || !known.empty(), "guide '", name, "' (", path.string(),
            ") is not known: these weights take no guides");
    require(expected, "guide '", name, "' (", path.string(), ") is not known; did you mean '",
            nearest_name(name, known), "'? These weights take: ", joined(known));
    require(given.insert(name).second, "guide '", name, "' is given twice");
  }
  for (const GuideDescription& guide : card.preprocessing.guides) {
    require(given.count(guide.name) == 1 || !is_looked_at(card, guide.name), "guide '", guide.name,
            "' (", guide.bands, guide.bands == 1 ? " band" : " bands",
            ") is missing; these weights take: ", joined(known));
  }
}

inline bool same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  return std::filesystem::absolute(a).lexically_normal() ==
         std::filesystem::absolute(b).lexically_normal();
}

inline void check_options(const PredictRequest& request) {
  require(request.tile >= 1, "tile must be at least 1 low-resolution pixel, got ", request.tile);
  require(request.batch >= 1, "batch must be at least 1 tile, got ", request.batch);
  require(request.prefetch >= 0, "prefetch must not be negative, got ", request.prefetch);
  require(request.threads >= 0, "threads must not be negative, got ", request.threads);
  const std::size_t masks = request.quality.size(), rasters = request.low_resolution.size();
  require(masks <= 1 || masks == rasters, masks, " quality masks for ", rasters,
          " low-resolution rasters; give one for each, or one for all");
}

/// @param may_be_there  an output may exist: it is looked at later
inline void check_outputs(const PredictRequest& request, bool may_be_there) {
  require(!request.low_resolution.empty(), "no low-resolution raster is given");
  require(request.outputs.size() == request.low_resolution.size(), request.outputs.size(),
          " outputs for ", request.low_resolution.size(), " low-resolution rasters");
  for (std::size_t index = 0; index < request.outputs.size(); ++index) {
    const std::filesystem::path& output = request.outputs[index];
    for (std::size_t other = 0; other < index; ++other) {
      require(!same_file(output, request.outputs[other]), "output '", output.string(),
              "' is named twice");
    }
    const auto is_one_of = [&](const std::filesystem::path& input) {
      const std::vector<std::filesystem::path> parts = raster_parts(input);
      return std::any_of(parts.begin(), parts.end(),
                         [&](const auto& part) { return same_file(output, part); });
    };
    for (const std::filesystem::path& input : request.low_resolution) {
      require(!is_one_of(input), "output '", output.string(), "' is also an input");
    }
    for (const auto& [name, input] : request.guides) {
      require(!is_one_of(input), "output '", output.string(), "' is also guide '", name, "'");
    }
    for (const QualityMask& quality : request.quality) {
      require(!is_one_of(quality.path), "output '", output.string(), "' is also a quality mask");
    }
    (void)sink_format(output, request.format);
    std::error_code error;
    if (request.overwrite || !may_be_there || !std::filesystem::exists(output, error)) {
      check_writable(output, request.overwrite);
      check_sink(output, request.format, request.compression);
    }
  }
}

/// The input's nodata where it can stand beside light, else NaN.
inline double output_nodata(const RasterInfo& info, const PredictRequest& request) {
  if (request.nodata) return *request.nodata;
  const double stated = info.bands.front().nodata.value_or(0.0);
  const bool usable = stated < 0 && static_cast<double>(static_cast<float>(stated)) == stated;
  return usable ? stated : std::numeric_limits<double>::quiet_NaN();
}

/// Whether the guides of two low resolutions are read alike.
inline bool share_guides(const PredictJob& a, const PredictJob& b, bool align) {
  const Grid &first = a.low_resolution.grid(), &second = b.low_resolution.grid();
  return first.rows == second.rows && first.columns == second.columns &&
         (!align ||
          (first.geotransform == second.geotransform && same_crs(first.crs_wkt, second.crs_wkt)));
}

/// @param before  jobs whose open guides may serve this one too
inline PredictJob open_job(const Card& card, const PredictRequest& request, std::size_t index,
                           bool with_guides, const std::vector<PredictJob>& before) {
  PredictJob job{RasterReader(request.low_resolution[index]), {}, request.outputs[index]};
  if (takes_kelvin(card)) job.low_resolution = in_kelvin(job.low_resolution);
  const RasterInfo info = job.low_resolution.info();
  require(info.bands.size() == 1, "low resolution '", info.path, "' has ", info.bands.size(),
          " bands, expected 1");
  job.nodata = output_nodata(info, request);
  if (!request.quality.empty()) {
    job.quality = request.quality[request.quality.size() == 1 ? 0 : index];
    job.low_resolution = mask_by_quality(job.low_resolution, *job.quality);
  }
  if (!with_guides) return job;
  const auto check = [&](const RasterReader& reader, const std::string& name) {
    try {
      check_guide(info, reader.info(), name, card.scale);
    } catch (const GridMismatch& error) {
      throw GridMismatch(concat(error.what(), "; align (--align) warps it in memory"));
    }
  };
  const auto alike = std::find_if(before.begin(), before.end(), [&](const PredictJob& other) {
    return share_guides(job, other, request.align);
  });
  if (alike != before.end()) {
    job.guides = alike->guides;
    for (const auto& [name, reader] : job.guides) check(reader, name);
    return job;
  }
  for (const GuideDescription& guide : card.preprocessing.guides) {
    const auto given = std::find_if(request.guides.begin(), request.guides.end(),
                                    [&](const auto& pair) { return pair.first == guide.name; });
    if (given == request.guides.end()) continue;  // not looked at
    RasterReader reader(given->second);
    const auto bands = static_cast<std::int64_t>(reader.info().bands.size());
    require(bands == guide.bands, "guide '", guide.name, "' (", reader.info().path, ") has ", bands,
            bands == 1 ? " band" : " bands", ", expected ", guide.bands,
            reader.info().has_alpha ? " (its alpha band is not counted)" : "");
    if (request.align && !guide_fits(info, reader.info(), card.scale)) {
      reader = align_guide(given->second, info.grid, card.scale);
    }
    check(reader, guide.name);
    job.guides.emplace_back(guide.name, std::move(reader));
  }
  return job;
}

/// The card's and the raster's cell along y, in degrees where both are in degrees, else in metres.
inline void warn_of_cell_size(const Card& card, const RasterInfo& info,
                              std::vector<std::string>& warnings) {
  if (card.cell_size.empty() || info.grid.crs_wkt.empty()) return;
  constexpr double metres_per_degree = 111320.0;
  const auto unit = metres_per_unit(info.grid);
  const bool degrees = card.cell_size_units.starts_with("degree");
  const double trained = card.cell_size.back() * (degrees ? metres_per_degree : 1.0);
  const double here = info.grid.cell_size()[1] * unit[1];
  if (!(trained > 0) || !(here > 0)) return;
  const double ratio = here / trained;
  if (ratio <= 2.0 && ratio >= 0.5) return;
  warnings.push_back(concat("'", info.path, "' has cells of about ", std::round(here),
                            " m, the weights were trained on cells of about ", std::round(trained),
                            " m: what they learnt may not hold there"));
}

inline void warn_of_values(const Card& card, const RasterInfo& info, const LightSummary& light,
                           std::vector<std::string>& warnings) {
  const ImageDescription& trained = card.preprocessing.low_resolution;
  const double range = trained.maximum - trained.minimum;
  if (range > 0) {
    const bool far_above = light.maximum > trained.maximum + range;
    const bool far_below = light.minimum < trained.minimum - 0.1 * range;
    const bool tiny = light.maximum < trained.minimum + 0.02 * range;
    if (far_above || far_below || tiny) {
      warnings.push_back(concat("'", info.path, "' holds values from ", light.minimum, " to ",
                                light.maximum, ", the weights were trained on ", trained.minimum,
                                " to ", trained.maximum, trained.units.empty() ? "" : " ",
                                trained.units, ": is it in other units or from another sensor?"));
    }
  }
  const BandInfo& band = info.bands.front();
  if (!band.units.empty() && !trained.units.empty() && band.units != trained.units) {
    warnings.push_back(concat("'", info.path, "' is in '", band.units,
                              "', the weights were trained on '", trained.units, "'"));
  }
  if (band.color == "Palette") {
    warnings.push_back(
        concat("'", info.path, "' holds colour codes (a palette), not amounts of light"));
  }
}

}  // namespace deeplight::detail
