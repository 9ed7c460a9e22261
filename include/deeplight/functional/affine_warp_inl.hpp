// Definitions of affine_warp.hpp.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <tuple>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/affine_warp.hpp"
#include "deeplight/functional/affine_warp_geometry.hpp"
#include "deeplight/functional/half_precision.hpp"
#include "deeplight/functional/on_large_pages.hpp"
#include "deeplight/functional/ops_library.hpp"
#include "deeplight/functional/torch_image_view.hpp"
#include "deeplight/functional/torch_parallel.hpp"

#ifdef DEEPLIGHT_OPS
#include <ATen/core/dispatch/Dispatcher.h>
#endif

namespace deeplight::functional {

namespace detail {

DEEPLIGHT_INLINE at::Tensor pixel_warp_cpu(const kernels::WarpTables& tables,
                                           const at::Tensor& image, const at::Tensor& matrix,
                                           const WarpOptions& options) {
  const auto g = warp_geometry(image, matrix, options);
  if (is_half(image))
    return pixel_warp_cpu(tables, image.to(at::kFloat), matrix.to(at::kFloat), options)
        .to(image.scalar_type());
  const auto own = matrix.to(image.scalar_type()).contiguous();
  auto out =
      on_large_pages(at::empty({g.batch, g.channels, g.out_height, g.out_width},
                               image.options().memory_format(image.suggest_memory_format())));
  AT_DISPATCH_FLOATING_TYPES(image.scalar_type(), "pixel_warp", [&] {
    tables.of<scalar_t>().forward(g, const_image_view<scalar_t>(image),
                                  own.const_data_ptr<scalar_t>(), image_view<scalar_t>(out),
                                  torch_parallel());
  });
  return out;
}

DEEPLIGHT_INLINE std::tuple<at::Tensor, at::Tensor> pixel_warp_backward_cpu(
    const kernels::WarpTables& tables, const at::Tensor& grad, const at::Tensor& image,
    const at::Tensor& matrix, const WarpOptions& options) {
  const auto g = warp_geometry(image, matrix, options);
  if (is_half(image)) {
    const auto [by_image, by_matrix] = pixel_warp_backward_cpu(
        tables, grad.to(at::kFloat), image.to(at::kFloat), matrix.to(at::kFloat), options);
    return {by_image.to(image.scalar_type()), by_matrix.to(matrix.scalar_type())};
  }
  const auto own = matrix.to(image.scalar_type()).contiguous();
  auto by_image = on_large_pages(at::empty_like(image)).zero_();
  auto rows = at::empty({g.batch, g.out_height, 6}, at::kDouble);
  AT_DISPATCH_FLOATING_TYPES(image.scalar_type(), "pixel_warp_backward", [&] {
    const auto& table = tables.of<scalar_t>();
    const auto above = const_image_view<scalar_t>(grad);
    const auto* numbers = own.const_data_ptr<scalar_t>();
    table.image_gradient(g, numbers, above, image_view<scalar_t>(by_image), torch_parallel());
    table.matrix_gradient(g, const_image_view<scalar_t>(image), numbers, above,
                          rows.mutable_data_ptr<double>(), torch_parallel());
  });
  // Summed here and not by at::sum, whose order depends on the number of threads.
  auto sums = at::zeros({g.matrices, 6}, at::kDouble);
  const double* row = rows.const_data_ptr<double>();
  double* sum = sums.mutable_data_ptr<double>();
  for (std::int64_t item = 0; item < g.batch * g.out_height; ++item, row += 6) {
    double* own_sum = sum + (g.matrices == 1 ? 0 : item / g.out_height * 6);
    for (int k = 0; k < 6; ++k) own_sum[k] += row[k];
  }
  return {by_image, sums.view({g.matrices, 2, 3}).to(matrix.scalar_type())};
}

/// Without deeplight::ops: this translation unit's instruction set, on the CPU.
struct DirectWarp {
  static const kernels::WarpTables& tables() {
    static constexpr auto native = kernels::warp_table<kernels::simd::Native>();
    return native;
  }
  static at::Tensor forward(const at::Tensor& image, const at::Tensor& matrix,
                            const WarpOptions& options) {
    return pixel_warp_cpu(tables(), image, matrix, options);
  }
  static std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad,
                                                     const at::Tensor& image,
                                                     const at::Tensor& matrix,
                                                     const WarpOptions& options) {
    return pixel_warp_backward_cpu(tables(), grad, image, matrix, options);
  }
};

template <class Calls>
struct WarpFunction : torch::autograd::Function<WarpFunction<Calls>> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& image,
                            const at::Tensor& matrix, std::vector<double> numbers,
                            std::int64_t padding, std::vector<std::int64_t> size) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({image, matrix});
    context->saved_data["numbers"] = numbers;
    context->saved_data["padding"] = padding;
    context->saved_data["size"] = size;
    return Calls::forward(
        image, matrix,
        {numbers[0], numbers[1], numbers[2], static_cast<WarpPadding>(padding), size});
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    require(!at::GradMode::is_enabled(), "affine_warp: there is no second derivative");
    const auto saved = context->get_saved_variables();
    const auto numbers = context->saved_data["numbers"].toDoubleVector();
    const auto padding = static_cast<WarpPadding>(context->saved_data["padding"].toInt());
    const auto [image, matrix] = Calls::backward(
        grads[0], saved[0], saved[1],
        {numbers[0], numbers[1], numbers[2], padding, context->saved_data["size"].toIntVector()});
    return {image, matrix, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor pixel_warp_reference(const at::Tensor& image, const at::Tensor& matrix,
                                                 double centre_x, double centre_y, double max_shift,
                                                 WarpPadding padding,
                                                 const std::vector<std::int64_t>& size) {
  const auto g =
      detail::warp_geometry(image, matrix, {centre_x, centre_y, max_shift, padding, size});
  const auto floats = matrix.options();
  const auto columns = at::arange(g.out_width, floats).view({1, 1, g.out_width});
  const auto rows = at::arange(g.out_height, floats).view({1, g.out_height, 1});
  const bool zeros = padding == WarpPadding::zeros;
  const auto displacement = [&](std::int64_t axis) {
    const auto row = matrix.select(1, axis).unsqueeze(-1).unsqueeze(-1);  // [B, 3, 1, 1]
    return (row.select(1, 0) * (columns - centre_x) + row.select(1, 1) * (rows - centre_y) +
            row.select(1, 2))
        .clamp(-max_shift, max_shift)
        .expand({g.batch, g.out_height, g.out_width});
  };
  // Nearest pixel before, and the fraction to the next, of one axis.
  const auto locate = [&](std::int64_t axis, const at::Tensor& index, std::int64_t length) {
    const auto moved = displacement(axis);
    if (padding == WarpPadding::zeros || padding == WarpPadding::border) {
      const auto whole = moved.detach().floor();
      return std::make_pair(index + whole, moved - whole);
    }
    const bool centres = padding == WarpPadding::reflection_centres;
    const double start = centres ? 0 : -0.5;
    const double span = static_cast<double>(centres ? length - 1 : length);
    const auto distance = (index + moved - start).abs();
    const auto turns = (distance / span).detach().floor();
    const auto rest = distance - turns * span;
    const auto at = at::where(turns.remainder(2) > 0.5, span - rest, rest) + start;
    const auto position = span > 0 ? at.clamp(0, static_cast<double>(length - 1)) : at * 0;
    const auto whole = position.detach().floor();
    return std::make_pair(whole, position - whole);
  };
  const auto [left, lx] = locate(0, columns, g.width);
  const auto [top, ly] = locate(1, rows, g.height);
  const auto flat = image.reshape({g.batch, g.channels, g.height * g.width});
  const auto finite = (lx + ly).isfinite();
  const auto at_corner = [&](std::int64_t down, std::int64_t right) {
    const auto row = at::where(finite, top + down, at::zeros({}, floats));
    const auto column = at::where(finite, left + right, at::zeros({}, floats));
    const auto index = (row.clamp(0, g.height - 1).to(at::kLong) * g.width +
                        column.clamp(0, g.width - 1).to(at::kLong))
                           .reshape({g.batch, 1, g.out_height * g.out_width});
    const auto values = flat.gather(2, index.expand({-1, g.channels, -1}))
                            .reshape({g.batch, g.channels, g.out_height, g.out_width});
    auto seen = finite;
    if (zeros)
      seen = seen.logical_and(row >= 0)
                 .logical_and(row < g.height)
                 .logical_and(column >= 0)
                 .logical_and(column < g.width);
    return at::where(seen.unsqueeze(1), values, at::zeros({}, image.options()));
  };
  const auto safe = [&](const at::Tensor& fraction) {
    return at::where(finite, fraction, at::zeros({}, floats)).unsqueeze(1);
  };
  const auto fx = safe(lx), fy = safe(ly);
  const auto upper = at_corner(0, 0) * (1 - fx) + at_corner(0, 1) * fx;
  const auto lower = at_corner(1, 0) * (1 - fx) + at_corner(1, 1) * fx;
  return upper * (1 - fy) + lower * fy;
}

DEEPLIGHT_INLINE at::Tensor pixel_warp(const at::Tensor& image, const at::Tensor& matrix,
                                       double centre_x, double centre_y, double max_shift,
                                       WarpPadding padding, const std::vector<std::int64_t>& size) {
#ifdef DEEPLIGHT_OPS
  using Schema = at::Tensor(const at::Tensor&, const at::Tensor&, double, double, double,
                            std::int64_t, at::IntArrayRef);
  static const auto operation = [] {
    ops::link();
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow("deeplight::pixel_warp", "")
        .typed<Schema>();
  }();
  return operation.call(image, matrix, centre_x, centre_y, max_shift,
                        static_cast<std::int64_t>(padding), size);
#else
  require(image.device().is_cpu(),
          "affine_warp: the header-only form runs on the CPU, got a tensor on ", image.device(),
          "; link deeplight::ops for other devices");
  return detail::WarpFunction<detail::DirectWarp>::apply(
      image, matrix, std::vector<double>{centre_x, centre_y, max_shift},
      static_cast<std::int64_t>(padding), size);
#endif
}

DEEPLIGHT_INLINE at::Tensor affine_warp(const at::Tensor& image, const at::Tensor& theta,
                                        const std::vector<std::int64_t>& size, WarpPadding padding,
                                        bool align_corners) {
  const auto g = detail::warp_geometry(image, theta, {0, 0, 0, padding, size});
  if (padding == WarpPadding::reflection_edges && align_corners)
    padding = WarpPadding::reflection_centres;
  // Pixels of the image for one unit of theta: along an axis, and for the shift.
  const auto ratio = [&](std::int64_t in, std::int64_t out) {
    if (!align_corners) return static_cast<double>(in) / static_cast<double>(out);
    return out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0.0;
  };
  const auto half = [&](std::int64_t in) {
    return static_cast<double>(align_corners ? in - 1 : in) / 2;
  };
  const double centre_x = static_cast<double>(g.out_width - 1) / 2;
  const double centre_y = static_cast<double>(g.out_height - 1) / 2;
  const std::vector<double> factors{
      ratio(g.width, g.out_width),  ratio(g.width, g.out_height),  half(g.width),
      ratio(g.height, g.out_width), ratio(g.height, g.out_height), half(g.height)};
  const std::vector<double> terms{-1, 0,  static_cast<double>(g.width - 1) / 2 - centre_x,
                                  0,  -1, static_cast<double>(g.height - 1) / 2 - centre_y};
  const auto constant = [&](const std::vector<double>& values) {
    return at::tensor(values, theta.options()).view({1, 2, 3});
  };
  return pixel_warp(image, theta * constant(factors) + constant(terms), centre_x, centre_y,
                    std::numeric_limits<double>::infinity(), padding, size);
}

}  // namespace deeplight::functional
