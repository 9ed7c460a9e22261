// Definitions of guide_checks.hpp.
#pragma once

#include <algorithm>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/nearest_name.hpp"
#include "deeplight/models/guide_checks.hpp"

namespace deeplight {

DEEPLIGHT_INLINE void check_network_shape(std::int64_t scale, std::int64_t width,
                                          const std::vector<Guide>& guides) {
  require(scale == 2 || scale == 4 || scale == 8, "scale must be 2, 4 or 8, got ", scale);
  require(width >= 2 && width % 2 == 0, "width must be even and at least 2, got ", width);
  std::vector<std::string> names;
  for (const Guide& guide : guides) {
    const bool plain = !guide.name.empty() && guide.name != "low_resolution" &&
                       guide.name.find('.') == std::string::npos;
    require(plain, "a guide's name must be non-empty, without dots and not 'low_resolution', got '",
            guide.name, "'");
    require(guide.bands >= 1, "guide '", guide.name, "' must have at least one band, got ",
            guide.bands);
    require(std::find(names.begin(), names.end(), guide.name) == names.end(), "guide '", guide.name,
            "' is declared twice");
    names.push_back(guide.name);
  }
}

DEEPLIGHT_INLINE void check_inputs(const at::Tensor& low_resolution, const GuideTensors& tensors,
                                   const std::vector<Guide>& guides,
                                   const std::vector<std::string>& optional, std::int64_t scale) {
  require(low_resolution.dim() == 4 && low_resolution.size(1) == 1 && low_resolution.size(2) >= 1 &&
              low_resolution.size(3) >= 1,
          "low resolution must be [B, 1, h, w], got ", low_resolution.sizes());
  const std::int64_t batch = low_resolution.size(0);
  const std::int64_t rows = low_resolution.size(2), columns = low_resolution.size(3);
  std::vector<std::string> names;
  for (const Guide& guide : guides) names.push_back(guide.name);
  for (const auto& [name, tensor] : tensors) {
    require(std::find(names.begin(), names.end(), name) != names.end(), "unknown guide '", name,
            names.empty() ? "'; this network takes no guides"
                          : "'; did you mean '" + nearest_name(name, names) +
                                "'? This network takes: " + joined(names));
  }
  for (const Guide& guide : guides) {
    const auto found = tensors.find(guide.name);
    if (found == tensors.end()) {
      require(std::find(optional.begin(), optional.end(), guide.name) != optional.end(), "guide '",
              guide.name, "' is missing; this network takes: ", joined(names));
      continue;
    }
    const at::Tensor& tensor = found->second;
    require(tensor.dim() == 4 && tensor.size(0) == batch, "guide '", guide.name,
            "' must be [B, bands, rows, columns] with B = ", batch, ", got ", tensor.sizes());
    require(tensor.size(1) == guide.bands, "guide '", guide.name, "' has ", tensor.size(1),
            " bands, expected ", guide.bands);
    require(tensor.size(2) == scale * rows && tensor.size(3) == scale * columns, "guide '",
            guide.name, "' is ", tensor.size(2), "x", tensor.size(3), ", expected ", scale * rows,
            "x", scale * columns, " = ", scale, " x low resolution ", rows, "x", columns);
  }
}

}  // namespace deeplight
