// Definitions of conv3x3.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/conv3x3.hpp"
#include "deeplight/functional/on_large_pages.hpp"
#include "deeplight/functional/ops_library.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/kernels/conv3x3_table.hpp"

namespace deeplight::functional {
namespace detail {

inline void check_conv3x3(const at::Tensor& input, const at::Tensor& weight,
                          const at::Tensor& bias) {
  require(input.dim() == 4, "conv3x3: input must be [B, C, H, W], got ", input.sizes());
  require(weight.dim() == 4 && weight.size(1) == input.size(1) && weight.size(2) == 3 &&
              weight.size(3) == 3,
          "conv3x3: weight is ", weight.sizes(), ", expected [O, ", input.size(1),
          ", 3, 3] for the input ", input.sizes());
  require(bias.dim() == 1 && bias.size(0) == weight.size(0), "conv3x3: bias is ", bias.sizes(),
          ", expected [", weight.size(0), "]");
}

DEEPLIGHT_INLINE at::Tensor conv3x3_composed(const at::Tensor& input, const at::Tensor& weight,
                                             const at::Tensor& bias, double slope) {
  check_conv3x3(input, weight, bias);
  const std::vector<std::int64_t> ones{1, 1};
  auto result = at::conv2d(input, weight, bias, ones, ones);
  // In place: one map less is kept for the backward pass.
  if (slope == 0)
    result = at::relu_(result);
  else if (slope != 1)
    result = at::leaky_relu_(result, slope);
  return result.contiguous(input.suggest_memory_format());
}

/// Maps that the kernels read as they lie.
inline bool is_float_and_last(const at::Tensor& input, const at::Tensor& weight) {
  return input.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         input.is_contiguous(at::MemoryFormat::ChannelsLast) &&
         input.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
}

/// Whether a fourth of the multiplications is the faster: below some tiles the transformation of
/// the weights costs more than the products save.
inline bool takes_winograd(const kernels::Conv3x3Geometry& g) {
  constexpr std::int64_t channels = 16, least_tiles = 8;
  return g.in > 0 && g.in % channels == 0 && g.out > 0 && g.out % channels == 0 &&
         g.tiles() >= least_tiles;
}

/// Whether all taps of all outputs are a few vectors, and the channels worth a product.
inline bool takes_narrow(const kernels::Conv3x3Geometry& g) {
  constexpr std::int64_t least_channels = 16, most_outputs = 4;
  return g.in >= least_channels && g.out > 0 && g.out <= most_outputs && g.height > 0;
}

DEEPLIGHT_INLINE at::Tensor conv3x3_cpu(const kernels::Conv3x3Table& table, const at::Tensor& input,
                                        const at::Tensor& weight, const at::Tensor& bias,
                                        double slope) {
  check_conv3x3(input, weight, bias);
  const kernels::Conv3x3Geometry g{input.size(0), input.size(2),  input.size(3),
                                   input.size(1), weight.size(0), static_cast<float>(slope)};
  const bool winograd = takes_winograd(g);
  if (!is_float_and_last(input, weight) || (!winograd && !takes_narrow(g)))
    return conv3x3_composed(input, weight, bias, slope);
  const auto own = weight.contiguous(), shift = bias.to(at::kFloat).contiguous();
  auto out = on_large_pages(at::empty({g.batch, g.out, g.height, g.width}, input.options(),
                                      at::MemoryFormat::ChannelsLast));
  const auto run = [&](const auto& kernel, const at::Tensor& weights) {
    kernel(g, input.const_data_ptr<float>(), weights.const_data_ptr<float>(),
           shift.const_data_ptr<float>(), out.mutable_data_ptr<float>(), torch_parallel());
  };
  if (winograd) {
    const auto transformed = on_large_pages(at::empty({36, g.in, g.out}, input.options()));
    table.transform_weight(g, own.const_data_ptr<float>(), transformed.mutable_data_ptr<float>(),
                           torch_parallel());
    run(table.winograd, transformed);
  } else {
    run(table.narrow, own);
  }
  return out;
}

/// Whether a gradient is asked for, backward or forward.
inline bool any_gradient(const at::Tensor& input, const at::Tensor& weight,
                         const at::Tensor& bias) {
  const auto one = [](const at::Tensor& tensor) {
    return (at::GradMode::is_enabled() && tensor.requires_grad()) || tensor._fw_grad(0).defined();
  };
  return one(input) || one(weight) || one(bias);
}

/// The kernels as the including program is compiled.
inline const kernels::Conv3x3Table& native_conv3x3() {
  static constexpr auto table = kernels::conv3x3_table<kernels::simd::Native>();
  return table;
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor conv3x3(const at::Tensor& input, const at::Tensor& weight,
                                    const at::Tensor& bias, double slope) {
#ifdef DEEPLIGHT_OPS
  using Schema = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, double);
  static const auto operation = [] {
    ops::link();
    return c10::Dispatcher::singleton().findSchemaOrThrow("deeplight::conv3x3", "").typed<Schema>();
  }();
  return operation.call(input, weight, bias, slope);
#else
  if (!input.device().is_cpu() || detail::any_gradient(input, weight, bias))
    return detail::conv3x3_composed(input, weight, bias, slope);
  return detail::conv3x3_cpu(detail::native_conv3x3(), input, weight, bias, slope);
#endif
}

}  // namespace deeplight::functional
