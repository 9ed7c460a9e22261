// Checks of a network's inputs against its declared guides and scale.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/nn/types.hpp"

namespace deeplight {

/// Scale, width, and guides: names unique and not empty, bands positive.
/// @throws InvalidArgument
void check_network_shape(std::int64_t scale, std::int64_t width, const std::vector<Guide>& guides);

/// Low resolution [B, 1, h, w] and every guide [B, bands, r*h, r*w]; guides in `optional` may be
/// absent, unknown ones may not be there.
/// @throws InvalidArgument
void check_inputs(const at::Tensor& low_resolution, const GuideTensors& tensors,
                  const std::vector<Guide>& guides, const std::vector<std::string>& optional,
                  std::int64_t scale);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/models/guide_checks_inl.hpp"
#endif
