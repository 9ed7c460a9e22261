// What the registrations of several operators share.
#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>

#include <optional>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/pair.hpp"

namespace deeplight::functional {

inline Pair pair_of(at::IntArrayRef values, const char* operation, const char* name) {
  require(values.size() == 2, operation, ": ", name, " must have two values, got ", values.size());
  return {values[0], values[1]};
}

/// Autocast as for torch's convolutions: floating tensors in the lower precision of their device.
inline at::Tensor lowered(const at::Tensor& tensor) {
  const auto device = tensor.device().type();
  return at::autocast::cached_cast(at::autocast::get_lower_precision_fp_from_device_type(device),
                                   tensor, device);
}

inline std::optional<at::Tensor> lowered(const std::optional<at::Tensor>& tensor) {
  return tensor ? std::optional<at::Tensor>(lowered(*tensor)) : std::nullopt;
}

/// While it lives, calls do not come back to autocast.
struct NoAutocast {
  c10::impl::ExcludeDispatchKeyGuard guard{
      c10::DispatchKeySet({c10::DispatchKey::AutocastCPU, c10::DispatchKey::AutocastCUDA})};
};

}  // namespace deeplight::functional
