// torch.ops.deeplight.projection_conv2d: schema, CPU kernel, fake kernel, autograd, autocast.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "deeplight/functional/projection_conv_inl.hpp"
#include "op_support.hpp"
#include "simd_levels.hpp"

#ifdef DEEPLIGHT_CUDA_KERNELS
#include "projection_conv_cuda.hpp"
#endif

DEEPLIGHT_SIMD_DISPATCH(kernels::ProjectionTables, projection_table)

namespace deeplight::functional {
namespace {

using detail::OptionalTensor;
using detail::ProjectionGradients;
using detail::ProjectionSizes;
using detail::ProjectionWanted;
using TwoTensors = std::tuple<at::Tensor, at::Tensor>;

ProjectionSizes sizes_of(at::IntArrayRef stride, at::IntArrayRef padding, bool transposed,
                         at::IntArrayRef output_size) {
  require(output_size.empty() || output_size.size() == 2,
          "projection_conv2d: output_size must have two values or none, got ", output_size.size());
  return {pair_of(stride, "projection_conv2d", "stride"),
          pair_of(padding, "projection_conv2d", "padding"), transposed, output_size.vec()};
}

at::Tensor forward_cpu(const at::Tensor& input, const at::Tensor& weight,
                       const OptionalTensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                       bool transposed, at::IntArrayRef output_size, const OptionalTensor& slope,
                       const OptionalTensor& residual, double alpha) {
  return std::get<0>(detail::projection_conv2d_cpu(
      ops::projection_table(), input, weight, bias,
      sizes_of(stride, padding, transposed, output_size), slope, residual, alpha, false));
}

TwoTensors kept_cpu(const at::Tensor& input, const at::Tensor& weight, const OptionalTensor& bias,
                    at::IntArrayRef stride, at::IntArrayRef padding, bool transposed,
                    at::IntArrayRef output_size, const OptionalTensor& slope,
                    const OptionalTensor& residual, double alpha) {
  return detail::projection_conv2d_cpu(ops::projection_table(), input, weight, bias,
                                       sizes_of(stride, padding, transposed, output_size), slope,
                                       residual, alpha, true);
}

at::Tensor weight_gradient_cpu(const at::Tensor& small, const at::Tensor& large,
                               at::IntArrayRef kernel, at::IntArrayRef stride,
                               at::IntArrayRef padding) {
  return detail::projection_weight_gradient_cpu(
      ops::projection_table(), small, large,
      pair_of(kernel, "projection_conv2d_weight_gradient", "kernel"),
      pair_of(stride, "projection_conv2d_weight_gradient", "stride"),
      pair_of(padding, "projection_conv2d_weight_gradient", "padding"));
}

at::Tensor forward_composed(const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, at::IntArrayRef stride,
                            at::IntArrayRef padding, bool transposed, at::IntArrayRef output_size,
                            const OptionalTensor& slope, const OptionalTensor& residual,
                            double alpha) {
  return std::get<0>(detail::projection_conv2d_composed(
      input, weight, bias, sizes_of(stride, padding, transposed, output_size), slope, residual,
      alpha, false));
}

TwoTensors kept_composed(const at::Tensor& input, const at::Tensor& weight,
                         const OptionalTensor& bias, at::IntArrayRef stride,
                         at::IntArrayRef padding, bool transposed, at::IntArrayRef output_size,
                         const OptionalTensor& slope, const OptionalTensor& residual,
                         double alpha) {
  return detail::projection_conv2d_composed(input, weight, bias,
                                            sizes_of(stride, padding, transposed, output_size),
                                            slope, residual, alpha, true);
}

at::Tensor weight_gradient_composed(const at::Tensor& small, const at::Tensor& large,
                                    at::IntArrayRef kernel, at::IntArrayRef stride,
                                    at::IntArrayRef padding) {
  const std::vector<std::int64_t> ones{1, 1}, zeros{0, 0};
  const auto weight =
      at::empty({small.size(1), large.size(1), kernel[0], kernel[1]}, small.options());
  return std::get<1>(at::convolution_backward(small, large, weight, c10::nullopt, stride, padding,
                                              ones, false, zeros, 1,
                                              std::array<bool, 3>{false, true, false}));
}

at::Tensor forward_fake(const at::Tensor& input, const at::Tensor& weight,
                        const OptionalTensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                        bool transposed, at::IntArrayRef output_size, const OptionalTensor& slope,
                        const OptionalTensor& residual, double alpha) {
  const auto side = [&](int i) -> c10::SymInt {
    if (!output_size.empty()) return output_size[i];
    const auto in = input.sym_size(2 + i), kernel = weight.sym_size(2 + i);
    if (transposed) return (in - 1) * stride[i] - 2 * padding[i] + kernel;
    return (in + 2 * padding[i] - kernel) / c10::SymInt(stride[i]) + 1;
  };
  return at::empty_symint(
      {input.sym_size(0), weight.sym_size(transposed ? 1 : 0), side(0), side(1)}, input.options(),
      input.suggest_memory_format());
}

TwoTensors kept_fake(const at::Tensor& input, const at::Tensor& weight, const OptionalTensor& bias,
                     at::IntArrayRef stride, at::IntArrayRef padding, bool transposed,
                     at::IntArrayRef output_size, const OptionalTensor& slope,
                     const OptionalTensor& residual, double alpha) {
  const auto out = forward_fake(input, weight, bias, stride, padding, transposed, output_size,
                                slope, residual, alpha);
  // On the CPU the sums lie as backward reads them.
  const auto layout =
      input.device().is_cpu() ? at::MemoryFormat::ChannelsLast : input.suggest_memory_format();
  return {out, at::empty_symint(out.sym_sizes(), out.options(), layout)};
}

at::Tensor weight_gradient_fake(const at::Tensor& small, const at::Tensor& large,
                                at::IntArrayRef kernel, at::IntArrayRef stride,
                                at::IntArrayRef padding) {
  return at::empty_symint({small.sym_size(1), large.sym_size(1), kernel[0], kernel[1]},
                          small.options());
}

ProjectionGradients backward_cpu(const at::Tensor& grad, const at::Tensor& input,
                                 const at::Tensor& weight, const OptionalTensor& sums,
                                 const OptionalTensor& slope, at::IntArrayRef stride,
                                 at::IntArrayRef padding, bool transposed,
                                 std::int64_t bias_dimensions, bool by_input, bool by_weight,
                                 bool by_slope) {
  auto all = detail::projection_backward_cpu(
      ops::projection_table(), grad, input, weight, sums.value_or(at::Tensor()),
      slope.value_or(at::Tensor()), sizes_of(stride, padding, transposed, {}),
      {by_input, by_weight, by_slope, bias_dimensions});
  const auto present = [&](at::Tensor& tensor) {
    if (!tensor.defined()) tensor = at::empty({0}, grad.options());
  };
  std::apply([&](auto&... each) { (present(each), ...); }, all);
  return all;
}

ProjectionGradients backward_fake(const at::Tensor& grad, const at::Tensor& input,
                                  const at::Tensor& weight, const OptionalTensor& /*sums*/,
                                  const OptionalTensor& /*slope*/, at::IntArrayRef stride,
                                  at::IntArrayRef /*padding*/, bool /*transposed*/,
                                  std::int64_t bias_dimensions, bool by_input, bool by_weight,
                                  bool by_slope) {
  const auto make = [&](bool wanted, c10::SymIntArrayRef sizes) {
    return wanted ? at::empty_symint(sizes, grad.options()) : at::empty({0}, grad.options());
  };
  const auto channels = grad.sym_size(1);
  std::vector<c10::SymInt> bias{channels};
  if (bias_dimensions == 2) bias.insert(bias.begin(), stride[0] * stride[1]);
  return {by_input
              ? at::empty_symint(input.sym_sizes(), input.options(), input.suggest_memory_format())
              : at::empty({0}, grad.options()),
          make(by_weight, weight.sym_sizes()), make(bias_dimensions > 0, bias),
          make(by_slope, {channels})};
}

struct DispatcherProjection {
  static bool has_backward(at::Device device) {
#ifdef DEEPLIGHT_CUDA_KERNELS
    if (device.is_cuda()) return true;
#endif
    return device.is_cpu();
  }
  static TwoTensors forward(const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, const ProjectionSizes& sizes,
                            const OptionalTensor& slope, const OptionalTensor& residual,
                            double alpha, bool keep_sums) {
    static const auto plain = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("deeplight::projection_conv2d", "")
                                  .typed<decltype(forward_cpu)>();
    static const auto kept = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("deeplight::projection_conv2d_kept", "")
                                 .typed<decltype(kept_cpu)>();
    if (keep_sums)
      return kept.call(input, weight, bias, sizes.stride, sizes.padding, sizes.transposed,
                       sizes.output_size, slope, residual, alpha);
    return {plain.call(input, weight, bias, sizes.stride, sizes.padding, sizes.transposed,
                       sizes.output_size, slope, residual, alpha),
            at::Tensor()};
  }
  static at::Tensor weight_gradient(const at::Tensor& small, const at::Tensor& large, Pair kernel,
                                    Pair stride, Pair padding) {
    static const auto handle =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("deeplight::projection_conv2d_weight_gradient", "")
            .typed<decltype(weight_gradient_cpu)>();
    return handle.call(small, large, kernel, stride, padding);
  }
  static ProjectionGradients backward(const at::Tensor& grad, const at::Tensor& input,
                                      const at::Tensor& weight, const at::Tensor& sums,
                                      const at::Tensor& slope, const ProjectionSizes& sizes,
                                      const ProjectionWanted& wanted) {
    static const auto handle = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("deeplight::projection_conv2d_backward", "")
                                   .typed<decltype(backward_cpu)>();
    const auto optional = [](const at::Tensor& tensor) {
      return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
    };
    return handle.call(grad, input, weight, optional(sums), optional(slope), sizes.stride,
                       sizes.padding, sizes.transposed, wanted.bias_dimensions, wanted.input,
                       wanted.weight, wanted.slope);
  }
};

at::Tensor forward_autograd(const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, at::IntArrayRef stride,
                            at::IntArrayRef padding, bool transposed, at::IntArrayRef output_size,
                            const OptionalTensor& slope, const OptionalTensor& residual,
                            double alpha) {
  return detail::differentiable_projection<DispatcherProjection>(
      input, weight, bias, sizes_of(stride, padding, transposed, output_size), slope, residual,
      alpha);
}

at::Tensor weight_gradient_autograd(const at::Tensor& small, const at::Tensor& large,
                                    at::IntArrayRef kernel, at::IntArrayRef stride,
                                    at::IntArrayRef padding) {
  return detail::ProjectionWeightGradient<DispatcherProjection>::apply(small, large, kernel.vec(),
                                                                       stride.vec(), padding.vec());
}

at::Tensor forward_autocast(const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, at::IntArrayRef stride,
                            at::IntArrayRef padding, bool transposed, at::IntArrayRef output_size,
                            const OptionalTensor& slope, const OptionalTensor& residual,
                            double alpha) {
  const NoAutocast off;
  return std::get<0>(
      DispatcherProjection::forward(lowered(input), lowered(weight), lowered(bias),
                                    sizes_of(stride, padding, transposed, output_size),
                                    lowered(slope), lowered(residual), alpha, false));
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def(
      "projection_conv2d(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, "
      "bool transposed, int[] output_size, Tensor? slope, Tensor? residual, float alpha) "
      "-> Tensor");
  library.def(
      "projection_conv2d_kept(Tensor input, Tensor weight, Tensor? bias, int[] stride, "
      "int[] padding, bool transposed, int[] output_size, Tensor? slope, Tensor? residual, "
      "float alpha) -> (Tensor, Tensor)");
  library.def(
      "projection_conv2d_weight_gradient(Tensor small, Tensor large, int[] kernel, int[] stride, "
      "int[] padding) -> Tensor");
  library.def(
      "projection_conv2d_backward(Tensor grad, Tensor input, Tensor weight, Tensor? sums, "
      "Tensor? slope, int[] stride, int[] padding, bool transposed, int bias_dimensions, "
      "bool by_input, bool by_weight, bool by_slope) -> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(deeplight, CPU, library) {
  library.impl("projection_conv2d", &deeplight::functional::forward_cpu);
  library.impl("projection_conv2d_kept", &deeplight::functional::kept_cpu);
  library.impl("projection_conv2d_weight_gradient", &deeplight::functional::weight_gradient_cpu);
  library.impl("projection_conv2d_backward", &deeplight::functional::backward_cpu);
}

// Devices without a kernel of ours: PyTorch's convolutions.
TORCH_LIBRARY_IMPL(deeplight, CompositeExplicitAutograd, library) {
  library.impl("projection_conv2d", &deeplight::functional::forward_composed);
  library.impl("projection_conv2d_kept", &deeplight::functional::kept_composed);
  library.impl("projection_conv2d_weight_gradient",
               &deeplight::functional::weight_gradient_composed);
}

TORCH_LIBRARY_IMPL(deeplight, Meta, library) {
  library.impl("projection_conv2d", &deeplight::functional::forward_fake);
  library.impl("projection_conv2d_kept", &deeplight::functional::kept_fake);
  library.impl("projection_conv2d_weight_gradient", &deeplight::functional::weight_gradient_fake);
  library.impl("projection_conv2d_backward", &deeplight::functional::backward_fake);
}

TORCH_LIBRARY_IMPL(deeplight, Autograd, library) {
  library.impl("projection_conv2d", &deeplight::functional::forward_autograd);
  library.impl("projection_conv2d_weight_gradient",
               &deeplight::functional::weight_gradient_autograd);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCPU, library) {
  library.impl("projection_conv2d", &deeplight::functional::forward_autocast);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCUDA, library) {
  library.impl("projection_conv2d", &deeplight::functional::forward_autocast);
}
