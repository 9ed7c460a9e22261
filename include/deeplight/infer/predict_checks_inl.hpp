// What `predict` checks before work begins, and what it warns about.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <system_error>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/nearest_name.hpp"
#include "deeplight/data/preprocessor.hpp"
#include "deeplight/infer/kelvin_input.hpp"
#include "deeplight/infer/predict.hpp"
#include "deeplight/raster/alignment.hpp"
#include "deeplight/raster/raster_reader.hpp"

namespace deeplight::detail {

/// One low-resolution raster with all that its prediction needs, opened.
struct PredictJob {
  RasterReader low_resolution;
  std::vector<std::pair<std::string, RasterReader>> guides;  // in the card's order
  std::filesystem::path output;
  double nodata = std::numeric_limits<double>::quiet_NaN();
};

/// Light of a low-resolution raster over its valid pixels.
struct LightSummary {
  std::int64_t valid = 0;
  double sum = 0.0;
  double minimum = std::numeric_limits<double>::infinity();
  double maximum = -std::numeric_limits<double>::infinity();
};

inline LightSummary summarise(const Block& block) {
  LightSummary light;
  for (std::size_t index = 0; index < block.values.size(); ++index) {
    if (block.valid.data()[index] == 0) continue;
    const double value = block.values.data()[index];
    ++light.valid;
    light.sum += value;
    light.minimum = std::min(light.minimum, value);
    light.maximum = std::max(light.maximum, value);
  }
  return light;
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
}

inline void check_outputs(const PredictRequest& request) {
  require(!request.low_resolution.empty(), "no low-resolution raster is given");
  require(request.outputs.size() == request.low_resolution.size(), request.outputs.size(),
          " outputs for ", request.low_resolution.size(), " low-resolution rasters");
  for (std::size_t index = 0; index < request.outputs.size(); ++index) {
    const std::filesystem::path& output = request.outputs[index];
    for (std::size_t other = 0; other < index; ++other) {
      require(!same_file(output, request.outputs[other]), "output '", output.string(),
              "' is named twice");
    }
    for (const std::filesystem::path& input : request.low_resolution) {
      require(!same_file(output, input), "output '", output.string(), "' is also an input");
    }
    for (const auto& [name, input] : request.guides) {
      require(!same_file(output, input), "output '", output.string(), "' is also guide '", name,
              "'");
    }
    (void)sink_format(output, request.format);
    check_writable(output, request.overwrite);
  }
}

/// The input's nodata where it can stand beside light, else NaN.
inline double output_nodata(const RasterInfo& info, const PredictRequest& request) {
  if (request.nodata) return *request.nodata;
  const double stated = info.bands.front().nodata.value_or(0.0);
  const bool usable = stated < 0 && static_cast<double>(static_cast<float>(stated)) == stated;
  return usable ? stated : std::numeric_limits<double>::quiet_NaN();
}

inline PredictJob open_job(const Card& card, const PredictRequest& request, std::size_t index,
                           bool with_guides) {
  PredictJob job{RasterReader(request.low_resolution[index]), {}, request.outputs[index]};
  if (takes_kelvin(card)) job.low_resolution = in_kelvin(job.low_resolution);
  const RasterInfo& info = job.low_resolution.info();
  require(info.bands.size() == 1, "low resolution '", info.path, "' has ", info.bands.size(),
          " bands, expected 1");
  job.nodata = output_nodata(info, request);
  if (!with_guides) return job;
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
    try {
      check_guide(info, reader.info(), guide.name, card.scale);
    } catch (const GridMismatch& error) {
      throw GridMismatch(concat(error.what(), "; align (--align) warps it in memory"));
    }
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
