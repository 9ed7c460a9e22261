// Definitions of projection_conv.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "deeplight/functional/ops_library.hpp"
#include "deeplight/functional/projection_conv.hpp"
#include "deeplight/functional/projection_conv_cpu_inl.hpp"
#include "deeplight/functional/projection_conv_gradient_cpu_inl.hpp"

#ifdef DEEPLIGHT_OPS
#include <ATen/core/dispatch/Dispatcher.h>
#endif

namespace deeplight::functional {

namespace detail {

using OptionalTensor = std::optional<at::Tensor>;

/// [C] to where it multiplies an image.
inline at::Tensor per_channel(const at::Tensor& values) {
  return values.view({1, -1, 1, 1});
}

/// Any device, from PyTorch's operators.
DEEPLIGHT_INLINE std::tuple<at::Tensor, at::Tensor> projection_conv2d_composed(
    const at::Tensor& input, const at::Tensor& weight, const OptionalTensor& bias,
    const ProjectionSizes& sizes, const OptionalTensor& slope, const OptionalTensor& residual,
    double alpha, bool keep_sums) {
  check_projection(input, weight, bias, sizes, slope, residual);
  const auto g = projection_geometry(input, weight, sizes);
  const bool shared = !bias || bias->dim() == 1;
  const OptionalTensor shift = shared ? bias : std::nullopt;
  at::Tensor sums;
  if (sizes.transposed) {
    const Pair extra{
        g.rows.out - ((g.rows.in - 1) * g.rows.stride - 2 * g.rows.padding + g.rows.kernel),
        g.columns.out -
            ((g.columns.in - 1) * g.columns.stride - 2 * g.columns.padding + g.columns.kernel)};
    sums = at::conv_transpose2d(input, weight, shift, sizes.stride, sizes.padding, extra);
  } else {
    sums = at::conv2d(input, weight, shift, sizes.stride, sizes.padding);
  }
  if (!shared) {
    const std::int64_t rows = g.rows.out / g.rows.stride,
                       columns = g.columns.out / g.columns.stride;
    sums = sums + bias->view({g.rows.stride, g.columns.stride, -1})
                      .permute({2, 0, 1})
                      .repeat({1, rows, columns});
  }
  at::Tensor out = slope ? at::where(sums > 0, sums, sums * per_channel(*slope)) : sums;
  if (residual) out = out + alpha * *residual;
  if (!slope && !residual && keep_sums) out = out.clone();
  return {out, keep_sums ? sums : at::Tensor()};
}

/// Without deeplight::ops: this translation unit's instruction set, on the CPU.
struct DirectProjection {
  static const kernels::ProjectionTables& tables() {
    static constexpr auto native = kernels::projection_table<kernels::simd::Native>();
    return native;
  }
  static bool has_backward(at::Device device) { return device.is_cpu(); }
  static std::tuple<at::Tensor, at::Tensor> forward(
      const at::Tensor& input, const at::Tensor& weight, const OptionalTensor& bias,
      const ProjectionSizes& sizes, const OptionalTensor& slope, const OptionalTensor& residual,
      double alpha, bool keep_sums) {
    require(input.device().is_cpu(),
            "projection_conv2d: the header-only form runs on the CPU, got a tensor on ",
            input.device(), "; link deeplight::ops for other devices");
    return projection_conv2d_cpu(tables(), input, weight, bias, sizes, slope, residual, alpha,
                                 keep_sums);
  }
  static at::Tensor weight_gradient(const at::Tensor& small, const at::Tensor& large, Pair kernel,
                                    Pair stride, Pair padding) {
    return projection_weight_gradient_cpu(tables(), small, large, kernel, stride, padding);
  }
  static ProjectionGradients backward(const at::Tensor& grad, const at::Tensor& input,
                                      const at::Tensor& weight, const at::Tensor& sums,
                                      const at::Tensor& slope, const ProjectionSizes& sizes,
                                      const ProjectionWanted& wanted) {
    return projection_backward_cpu(tables(), grad, input, weight, sums, slope, sizes, wanted);
  }
};

template <class Calls>
at::Tensor differentiable_projection(const at::Tensor& input, const at::Tensor& weight,
                                     const OptionalTensor& bias, const ProjectionSizes& sizes,
                                     const OptionalTensor& slope = {},
                                     const OptionalTensor& residual = {}, double alpha = 1.0);

/// The gradient of a weight is linear in both images, and its derivatives are projections again.
template <class Calls>
struct ProjectionWeightGradient : torch::autograd::Function<ProjectionWeightGradient<Calls>> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& small,
                            const at::Tensor& large, std::vector<std::int64_t> kernel,
                            std::vector<std::int64_t> stride, std::vector<std::int64_t> padding) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({small, large});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return Calls::weight_gradient(small, large, {kernel[0], kernel[1]}, {stride[0], stride[1]},
                                  {padding[0], padding[1]});
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto stride = context->saved_data["stride"].toIntVector();
    const auto padding = context->saved_data["padding"].toIntVector();
    ProjectionSizes sizes{{stride[0], stride[1]}, {padding[0], padding[1]}, false, {}};
    const auto small = differentiable_projection<Calls>(saved[1], grads[0], {}, sizes);
    sizes.transposed = true;
    sizes.output_size = {saved[1].size(2), saved[1].size(3)};
    const auto large = differentiable_projection<Calls>(saved[0], grads[0], {}, sizes);
    return {small, large, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

template <class Calls>
struct ProjectionFunction : torch::autograd::Function<ProjectionFunction<Calls>> {
  static torch::autograd::variable_list forward(
      torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor& weight,
      const OptionalTensor& bias, const OptionalTensor& slope, const OptionalTensor& residual,
      std::vector<std::int64_t> stride, std::vector<std::int64_t> padding, bool transposed,
      std::vector<std::int64_t> output_size, double alpha, bool keep_sums) {
    const at::AutoDispatchBelowADInplaceOrView below;
    auto [out, sums] =
        Calls::forward(input, weight, bias,
                       {{stride[0], stride[1]}, {padding[0], padding[1]}, transposed, output_size},
                       slope, residual, alpha, keep_sums);
    context->save_for_backward(
        {input, weight, slope.value_or(at::Tensor()), keep_sums ? sums : at::Tensor()});
    auto& data = context->saved_data;
    data["stride"] = stride;
    data["padding"] = padding;
    data["transposed"] = transposed;
    data["alpha"] = alpha;
    data["bias_phases"] = bias ? (bias->dim() == 2 ? 2 : 1) : 0;
    data["residual"] = residual.has_value();
    // Else backward would be given zeros of the size of the sums, and add them.
    context->set_materialize_grads(false);
    // The sums are an output so that second derivatives flow through them.
    return keep_sums ? torch::autograd::variable_list{out, sums}
                     : torch::autograd::variable_list{out};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const at::Tensor &input = saved[0], &weight = saved[1], &slope = saved[2], &sums = saved[3];
    const auto stride = data["stride"].toIntVector(), padding = data["padding"].toIntVector();
    const bool transposed = data["transposed"].toBool();

    const bool through_sums = grads.size() > 1 && grads[1].defined();
    if (!grads[0].defined() && !through_sums) return torch::autograd::variable_list(11);
    at::Tensor by_residual, by_slope, by_sums = grads[0];
    if (!by_sums.defined()) by_sums = at::zeros_like(grads[1]);
    if (data["residual"].toBool()) by_residual = data["alpha"].toDouble() * by_sums;
    // With create_graph the steps below are differentiated again; one pass for all cannot be.
    if (!at::GradMode::is_enabled() && Calls::has_backward(input.device()) && !through_sums) {
      const ProjectionWanted wanted{context->needs_input_grad(0), context->needs_input_grad(1),
                                    slope.defined() && slope.requires_grad(),
                                    data["bias_phases"].toInt()};
      const auto [by_input, by_weight, by_bias, by_own_slope] = Calls::backward(
          by_sums, input, weight, sums, slope,
          {{stride[0], stride[1]}, {padding[0], padding[1]}, transposed, {}}, wanted);
      const auto if_wanted = [](bool asked, const at::Tensor& gradient) {
        return asked ? gradient : at::Tensor();
      };
      torch::autograd::variable_list all(11);
      all[0] = if_wanted(wanted.input, by_input);
      all[1] = if_wanted(wanted.weight, by_weight);
      all[2] = if_wanted(wanted.bias_dimensions > 0, by_bias);
      all[3] = if_wanted(wanted.slope, by_own_slope);
      all[4] = by_residual;
      return all;
    }
    if (slope.defined()) {
      const auto above = by_sums;
      // One pass for both, which can be differentiated again.
      const auto [below, by_each_slope] =
          at::_prelu_kernel_backward(above, sums, per_channel(slope));
      by_sums = below;
      if (slope.requires_grad()) by_slope = by_each_slope.sum({0, 2, 3});
      if (through_sums) by_sums = by_sums + grads[1];
    }
    at::Tensor by_bias, by_input, by_weight;
    if (data["bias_phases"].toInt() == 1) by_bias = by_sums.sum({0, 2, 3});
    if (data["bias_phases"].toInt() == 2)
      by_bias = by_sums
                    .reshape({by_sums.size(0), by_sums.size(1), -1, stride[0],
                              by_sums.size(3) / stride[1], stride[1]})
                    .sum({0, 2, 4})
                    .permute({1, 2, 0})
                    .flatten(0, 1);
    if (context->needs_input_grad(0)) {
      ProjectionSizes sizes{{stride[0], stride[1]}, {padding[0], padding[1]}, !transposed, {}};
      if (!transposed) sizes.output_size = {input.size(2), input.size(3)};
      by_input = differentiable_projection<Calls>(by_sums, weight, {}, sizes);
    }
    if (context->needs_input_grad(1))
      by_weight = ProjectionWeightGradient<Calls>::apply(
          transposed ? input : by_sums, transposed ? by_sums : input,
          std::vector<std::int64_t>{weight.size(2), weight.size(3)}, stride, padding);
    return {by_input,     by_weight,    by_bias,      by_slope,     by_residual, at::Tensor(),
            at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

template <class Calls>
at::Tensor differentiable_projection(const at::Tensor& input, const at::Tensor& weight,
                                     const OptionalTensor& bias, const ProjectionSizes& sizes,
                                     const OptionalTensor& slope, const OptionalTensor& residual,
                                     double alpha) {
  const bool keep_sums = slope && at::GradMode::is_enabled() &&
                         (input.requires_grad() || weight.requires_grad() ||
                          slope->requires_grad() || (bias && bias->requires_grad()));
  return ProjectionFunction<Calls>::apply(
      input, weight, bias, slope, residual,
      std::vector<std::int64_t>{sizes.stride[0], sizes.stride[1]},
      std::vector<std::int64_t>{sizes.padding[0], sizes.padding[1]}, sizes.transposed,
      sizes.output_size, alpha, keep_sums)[0];
}

DEEPLIGHT_INLINE at::Tensor call_projection(const at::Tensor& input, const at::Tensor& weight,
                                            const OptionalTensor& bias, Pair stride, Pair padding,
                                            bool transposed, const ProjectionTail& tail) {
#ifdef DEEPLIGHT_OPS
  using Schema = at::Tensor(const at::Tensor&, const at::Tensor&, const OptionalTensor&,
                            at::IntArrayRef, at::IntArrayRef, bool, at::IntArrayRef,
                            const OptionalTensor&, const OptionalTensor&, double);
  static const auto operation = [] {
    ops::link();
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow("deeplight::projection_conv2d", "")
        .typed<Schema>();
  }();
  return operation.call(input, weight, bias, stride, padding, transposed, {}, tail.slope,
                        tail.residual, tail.alpha);
#else
  return differentiable_projection<DirectProjection>(input, weight, bias,
                                                     {stride, padding, transposed, {}}, tail.slope,
                                                     tail.residual, tail.alpha);
#endif
}

}  // namespace detail

DEEPLIGHT_INLINE at::Tensor projection_conv2d(const at::Tensor& input, const at::Tensor& weight,
                                              const std::optional<at::Tensor>& bias, Pair stride,
                                              Pair padding, const ProjectionTail& tail) {
  return detail::call_projection(input, weight, bias, stride, padding, false, tail);
}

DEEPLIGHT_INLINE at::Tensor projection_conv_transpose2d(const at::Tensor& input,
                                                        const at::Tensor& weight,
                                                        const std::optional<at::Tensor>& bias,
                                                        Pair stride, Pair padding,
                                                        const ProjectionTail& tail) {
  return detail::call_projection(input, weight, bias, stride, padding, true, tail);
}

DEEPLIGHT_INLINE at::Tensor pixel_shuffle_conv1x1(const at::Tensor& input, const at::Tensor& weight,
                                                  const std::optional<at::Tensor>& bias,
                                                  std::int64_t upscale_factor,
                                                  const ProjectionTail& tail) {
  const std::int64_t r = upscale_factor;
  require(r > 0, "pixel_shuffle_conv1x1: upscale_factor must be positive, got ", r);
  require(weight.dim() == 4 && weight.size(2) == 1 && weight.size(3) == 1 &&
              weight.size(0) % (r * r) == 0,
          "pixel_shuffle_conv1x1: weight is ", weight.sizes(), ", expected [O*", r * r,
          ", I, 1, 1]");
  require(!bias || (bias->dim() == 1 && bias->size(0) == weight.size(0)),
          "pixel_shuffle_conv1x1: bias is ", bias ? bias->sizes() : at::IntArrayRef(),
          ", expected [", weight.size(0), "]");
  // Channel (o, i, j) goes to pixel (i, j) of channel o.
  const auto kernel = weight.reshape({-1, r, r, weight.size(1)}).permute({3, 0, 1, 2});
  std::optional<at::Tensor> shift;
  if (bias) shift = bias->reshape({-1, r * r}).t().contiguous();
  return projection_conv_transpose2d(input, kernel.contiguous(), shift, {r, r}, {0, 0}, tail);
}

DEEPLIGHT_INLINE at::Tensor projection_conv2d_reference(const at::Tensor& input,
                                                        const at::Tensor& weight,
                                                        const std::optional<at::Tensor>& bias,
                                                        Pair stride, Pair padding, bool transposed,
                                                        const ProjectionTail& tail) {
  return std::get<0>(
      detail::projection_conv2d_composed(input, weight, bias, {stride, padding, transposed, {}},
                                         tail.slope, tail.residual, tail.alpha, false));
}

}  // namespace deeplight::functional
