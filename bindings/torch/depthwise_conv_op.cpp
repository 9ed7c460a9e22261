// torch.ops.deeplight.depthwise_conv2d: schema, CPU kernel, fake kernel, autograd, autocast.
#include <torch/library.h>

#include "deeplight/functional/depthwise_conv_inl.hpp"
#include "op_support.hpp"
#include "simd_levels.hpp"

#ifdef DEEPLIGHT_CUDA_KERNELS
#include "depthwise_conv_cuda.hpp"
#endif

DEEPLIGHT_SIMD_DISPATCH(kernels::DepthwiseTables, depthwise_table)

namespace deeplight::functional {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
constexpr const char* name = "depthwise_conv2d";

at::Tensor forward_cpu(const at::Tensor& input, const at::Tensor& weight,
                       const OptionalTensor& bias, at::IntArrayRef padding,
                       at::IntArrayRef dilation) {
  return detail::depthwise_conv2d_cpu(ops::depthwise_table(), input, weight, bias,
                                      pair_of(padding, name, "padding"),
                                      pair_of(dilation, name, "dilation"));
}

at::Tensor forward_composed(const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, at::IntArrayRef padding,
                            at::IntArrayRef dilation) {
  return detail::depthwise_conv2d_composed(input, weight, bias, pair_of(padding, name, "padding"),
                                           pair_of(dilation, name, "dilation"));
}

detail::DepthwiseGradients backward_cpu(const at::Tensor& grad, const at::Tensor& input,
                                        const at::Tensor& weight, at::IntArrayRef padding,
                                        at::IntArrayRef dilation) {
  return detail::depthwise_conv2d_backward_cpu(ops::depthwise_table(), grad, input, weight,
                                               pair_of(padding, name, "padding"),
                                               pair_of(dilation, name, "dilation"));
}

detail::DepthwiseGradients backward_composed(const at::Tensor& grad, const at::Tensor& input,
                                             const at::Tensor& weight, at::IntArrayRef padding,
                                             at::IntArrayRef dilation) {
  return detail::depthwise_conv2d_backward_composed(
      grad, input, weight, pair_of(padding, name, "padding"), pair_of(dilation, name, "dilation"));
}

at::Tensor forward_fake(const at::Tensor& input, const at::Tensor& weight,
                        const OptionalTensor& bias, at::IntArrayRef padding,
                        at::IntArrayRef dilation) {
  const auto side = [&](int i) {
    return input.sym_size(2 + i) + 2 * padding[i] - dilation[i] * (weight.sym_size(2 + i) - 1);
  };
  return at::empty_symint({input.sym_size(0), input.sym_size(1), side(0), side(1)},
                          input.options().memory_format(input.suggest_memory_format()));
}

detail::DepthwiseGradients backward_fake(const at::Tensor& grad, const at::Tensor& input,
                                         const at::Tensor& weight, at::IntArrayRef padding,
                                         at::IntArrayRef dilation) {
  return {at::empty_symint(input.sym_sizes(),
                           input.options().memory_format(input.suggest_memory_format())),
          at::empty_symint(weight.sym_sizes(), weight.options()),
          at::empty_symint({weight.sym_size(0)}, weight.options())};
}

struct DispatcherCalls {
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, const std::vector<std::int64_t>& padding,
                            const std::vector<std::int64_t>& dilation) {
    static const auto handle = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("deeplight::depthwise_conv2d", "")
                                   .typed<decltype(forward_cpu)>();
    return handle.call(input, weight, bias, padding, dilation);
  }
  static detail::DepthwiseGradients backward(const at::Tensor& grad, const at::Tensor& input,
                                             const at::Tensor& weight,
                                             const std::vector<std::int64_t>& padding,
                                             const std::vector<std::int64_t>& dilation) {
    static const auto handle = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("deeplight::depthwise_conv2d_backward", "")
                                   .typed<decltype(backward_cpu)>();
    return handle.call(grad, input, weight, padding, dilation);
  }
};

at::Tensor forward_autograd(const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, at::IntArrayRef padding,
                            at::IntArrayRef dilation) {
  return detail::DepthwiseFunction<DispatcherCalls>::apply(input, weight, bias, padding.vec(),
                                                           dilation.vec());
}

at::Tensor forward_autocast(const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, at::IntArrayRef padding,
                            at::IntArrayRef dilation) {
  const NoAutocast off;
  return DispatcherCalls::forward(lowered(input), lowered(weight), lowered(bias), padding.vec(),
                                  dilation.vec());
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def(
      "depthwise_conv2d(Tensor input, Tensor weight, Tensor? bias, int[] padding, int[] dilation) "
      "-> Tensor");
  library.def(
      "depthwise_conv2d_backward(Tensor grad, Tensor input, Tensor weight, int[] padding, "
      "int[] dilation) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(deeplight, CPU, library) {
  library.impl("depthwise_conv2d", &deeplight::functional::forward_cpu);
  library.impl("depthwise_conv2d_backward", &deeplight::functional::backward_cpu);
}

// Devices without a kernel of ours: PyTorch's convolution.
TORCH_LIBRARY_IMPL(deeplight, CompositeExplicitAutograd, library) {
  library.impl("depthwise_conv2d", &deeplight::functional::forward_composed);
  library.impl("depthwise_conv2d_backward", &deeplight::functional::backward_composed);
}

TORCH_LIBRARY_IMPL(deeplight, Meta, library) {
  library.impl("depthwise_conv2d", &deeplight::functional::forward_fake);
  library.impl("depthwise_conv2d_backward", &deeplight::functional::backward_fake);
}

TORCH_LIBRARY_IMPL(deeplight, Autograd, library) {
  library.impl("depthwise_conv2d", &deeplight::functional::forward_autograd);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCPU, library) {
  library.impl("depthwise_conv2d", &deeplight::functional::forward_autocast);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCUDA, library) {
  library.impl("depthwise_conv2d", &deeplight::functional::forward_autocast);
}
