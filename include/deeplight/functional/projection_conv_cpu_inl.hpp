// CPU side of projection_conv.hpp: shapes, layouts, and the calls of the kernels.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/functional/half_precision.hpp"
#include "deeplight/functional/on_large_pages.hpp"
#include "deeplight/functional/pair.hpp"
#include "deeplight/functional/torch_image_view.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/kernels/projection_conv_cpu.hpp"

namespace deeplight::functional::detail {

/// Sizes of one projection. An empty `output_size` is the natural one.
struct ProjectionSizes {
  Pair stride, padding;
  bool transposed = false;
  std::vector<std::int64_t> output_size{};

  std::int64_t out(int side, std::int64_t in, std::int64_t kernel) const {
    if (!output_size.empty()) return output_size[side];
    return transposed ? (in - 1) * stride[side] - 2 * padding[side] + kernel
                      : (in + 2 * padding[side] - kernel) / stride[side] + 1;
  }
};

DEEPLIGHT_INLINE void check_projection(const at::Tensor& input, const at::Tensor& weight,
                                       const std::optional<at::Tensor>& bias,
                                       const ProjectionSizes& sizes,
                                       const std::optional<at::Tensor>& slope,
                                       const std::optional<at::Tensor>& residual) {
  const char* name = sizes.transposed ? "projection_conv_transpose2d: " : "projection_conv2d: ";
  require(input.dim() == 4, name, "input must be [B, I, H, W], got ", input.sizes());
  const int in = sizes.transposed ? 0 : 1;
  require(weight.dim() == 4 && weight.size(in) == input.size(1) && weight.size(1 - in) > 0 &&
              weight.size(in) > 0,
          name, "weight is ", weight.sizes(), ", expected ",
          sizes.transposed ? "[I, O, kh, kw]" : "[O, I, kh, kw]", " with I = ", input.size(1));
  for (int side = 0; side < 2; ++side) {
    const std::int64_t kernel = weight.size(2 + side);
    require(kernel > 0, name, "the kernel must have at least one tap, got ", weight.sizes());
    require(sizes.stride[side] > 0, name, "stride must be positive, got ", sizes.stride[side]);
    require(sizes.padding[side] >= 0 && sizes.padding[side] < kernel, name,
            "padding must be in [0, kernel), got ", sizes.padding[side], " for a kernel of ",
            kernel);
    const std::int64_t in_size = input.size(2 + side);
    const bool fits = sizes.transposed ? in_size > 0 : in_size + 2 * sizes.padding[side] >= kernel;
    require(fits && sizes.out(side, in_size, kernel) > 0, name, "input ", input.sizes(),
            " is too small for the kernel ", weight.sizes(), " with this padding");
  }
  const std::int64_t channels = weight.size(1 - in);
  if (bias)
    require((bias->dim() == 1 && bias->size(0) == channels) ||
                (sizes.transposed && bias->dim() == 2 && bias->size(1) == channels &&
                 bias->size(0) == sizes.stride[0] * sizes.stride[1]),
            name, "bias is ", bias->sizes(), ", expected [", channels,
            "], or [stride_h * stride_w, ", channels, "] when transposed");
  if (slope)
    require(slope->dim() == 1 && slope->size(0) == channels, name, "slope is ", slope->sizes(),
            ", expected [", channels, "]");
  for (const auto& tensor : {std::optional<at::Tensor>(weight), bias, slope, residual})
    require(!tensor || tensor->scalar_type() == input.scalar_type(), name,
            "every tensor must have the input's type ", input.scalar_type(), ", got ",
            tensor ? tensor->scalar_type() : input.scalar_type());
}

DEEPLIGHT_INLINE kernels::ProjectionGeometry projection_geometry(const at::Tensor& input,
                                                                 const at::Tensor& weight,
                                                                 const ProjectionSizes& sizes) {
  const auto axis = [&](int side) {
    const std::int64_t in = input.size(2 + side), kernel = weight.size(2 + side);
    return kernels::ConvolutionAxis{in,
                                    sizes.out(side, in, kernel),
                                    kernel,
                                    sizes.stride[side],
                                    sizes.padding[side],
                                    sizes.transposed};
  };
  return {input.size(0), input.size(1), weight.size(sizes.transposed ? 1 : 0), axis(0), axis(1)};
}

/// Weights as the products read them. @param weight  contiguous, [O, I, kh, kw] or transposed
template <class T>
at::Tensor packed_weights(const kernels::ProjectionTable<T>& table,
                          const kernels::ProjectionGeometry& g, const T* weight,
                          const at::TensorOptions& options) {
  const std::int64_t taps = g.rows.kernel * g.columns.kernel;
  const auto packed = at::empty({table.weights_size(g)}, options);
  if (g.rows.transposed)
    table.pack(g, weight, g.out_channels * taps, taps, packed.template mutable_data_ptr<T>());
  else
    table.pack(g, weight, taps, g.in_channels * taps, packed.template mutable_data_ptr<T>());
  return packed;
}

/// The image and, if asked for, the sums before activation (else an undefined tensor).
/// @param layout  of the results; the input's if absent
DEEPLIGHT_INLINE std::tuple<at::Tensor, at::Tensor> projection_conv2d_cpu(
    const kernels::ProjectionTables& tables, const at::Tensor& input, const at::Tensor& weight,
    const std::optional<at::Tensor>& bias, const ProjectionSizes& sizes,
    const std::optional<at::Tensor>& slope, const std::optional<at::Tensor>& residual, double alpha,
    bool keep_sums, std::optional<at::MemoryFormat> layout = {}) {
  check_projection(input, weight, bias, sizes, slope, residual);
  if (is_half(input)) {
    const auto wide = [](const std::optional<at::Tensor>& tensor) {
      return tensor ? std::optional<at::Tensor>(tensor->to(at::kFloat)) : std::nullopt;
    };
    auto [out, sums] =
        projection_conv2d_cpu(tables, input.to(at::kFloat), weight.to(at::kFloat), wide(bias),
                              sizes, wide(slope), wide(residual), alpha, keep_sums);
    return {out.to(input.scalar_type()), keep_sums ? sums.to(input.scalar_type()) : sums};
  }
  const auto g = projection_geometry(input, weight, sizes);
  const auto format = layout.value_or(input.suggest_memory_format());
  const auto make = [&](at::MemoryFormat as) {
    return on_large_pages(at::empty({g.batch, g.out_channels, g.rows.out, g.columns.out},
                                    input.options().memory_format(as)));
  };
  at::Tensor out = make(format);
  // Backward reads them channels last.
  at::Tensor sums = keep_sums ? make(at::MemoryFormat::ChannelsLast) : at::Tensor();
  if (residual)
    require(residual->sizes() == out.sizes(), "projection: residual is ", residual->sizes(),
            ", expected the output's ", out.sizes());
  if (out.numel() == 0) return {out, sums};
  const auto kernel = weight.contiguous(), shift = bias ? bias->contiguous() : at::Tensor();
  const auto factors = slope ? slope->contiguous() : at::Tensor();
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "projection_conv2d", [&] {
    const kernels::ProjectionTable<scalar_t>& table = tables.of<scalar_t>();
    const auto packed =
        packed_weights(table, g, kernel.const_data_ptr<scalar_t>(), input.options());
    kernels::ProjectionEpilogue<scalar_t> epilogue;
    if (bias) epilogue.bias = shift.const_data_ptr<scalar_t>();
    if (bias && bias->dim() == 2) epilogue.bias_phase = g.out_channels;
    if (slope) epilogue.slope = factors.const_data_ptr<scalar_t>();
    if (residual) epilogue.residual = const_image_view<scalar_t>(*residual);
    epilogue.alpha = static_cast<scalar_t>(alpha);
    if (keep_sums) epilogue.sums = image_view<scalar_t>(sums);
    table.forward(g, const_image_view<scalar_t>(input), packed.const_data_ptr<scalar_t>(), epilogue,
                  image_view<scalar_t>(out), torch_parallel());
  });
  return {out, sums};
}

}  // namespace deeplight::functional::detail
