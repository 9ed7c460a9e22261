// torch.ops.deeplight.dynamic_conv2d: schema, CPU kernel, fake kernel, autograd, autocast.
#include <torch/library.h>

#include "deeplight/functional/dynamic_conv_inl.hpp"
#include "op_support.hpp"
#include "simd_levels.hpp"

#ifdef DEEPLIGHT_CUDA_KERNELS
#include "dynamic_conv_cuda.hpp"
#endif

DEEPLIGHT_SIMD_DISPATCH(kernels::DynamicTables, dynamic_table)

namespace deeplight::functional {
namespace {

Pair padding_of(at::IntArrayRef padding) {
  return pair_of(padding, "dynamic_conv2d", "padding");
}

at::Tensor forward_cpu(const at::Tensor& input, const at::Tensor& kernel, at::IntArrayRef padding) {
  return detail::dynamic_conv2d_cpu(ops::dynamic_table(), input, kernel, padding_of(padding));
}

at::Tensor forward_composed(const at::Tensor& input, const at::Tensor& kernel,
                            at::IntArrayRef padding) {
  return detail::dynamic_conv2d_composed(input, kernel, padding_of(padding));
}

detail::DynamicGradients backward_cpu(const at::Tensor& grad, const at::Tensor& input,
                                      const at::Tensor& kernel, at::IntArrayRef padding) {
  return detail::dynamic_conv2d_backward_cpu(ops::dynamic_table(), grad, input, kernel,
                                             padding_of(padding));
}

detail::DynamicGradients backward_composed(const at::Tensor& grad, const at::Tensor& input,
                                           const at::Tensor& kernel, at::IntArrayRef padding) {
  return detail::dynamic_conv2d_backward_composed(grad, input, kernel, padding_of(padding));
}

at::Tensor forward_fake(const at::Tensor& input, const at::Tensor& kernel,
                        at::IntArrayRef padding) {
  const auto side = [&](int i) {
    return input.sym_size(2 + i) + 2 * padding[i] - kernel.sym_size(3 + i) + 1;
  };
  return at::empty_symint({input.sym_size(0), kernel.sym_size(1), side(0), side(1)},
                          input.options());
}

detail::DynamicGradients backward_fake(const at::Tensor& grad, const at::Tensor& input,
                                       const at::Tensor& kernel, at::IntArrayRef padding) {
  return {at::empty_symint(input.sym_sizes(), input.options()),
          at::empty_symint(kernel.sym_sizes(), kernel.options())};
}

struct DispatcherCalls {
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& kernel,
                            const std::vector<std::int64_t>& padding) {
    static const auto handle = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("deeplight::dynamic_conv2d", "")
                                   .typed<decltype(forward_cpu)>();
    return handle.call(input, kernel, padding);
  }
  static detail::DynamicGradients backward(const at::Tensor& grad, const at::Tensor& input,
                                           const at::Tensor& kernel,
                                           const std::vector<std::int64_t>& padding) {
    static const auto handle = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("deeplight::dynamic_conv2d_backward", "")
                                   .typed<decltype(backward_cpu)>();
    return handle.call(grad, input, kernel, padding);
  }
};

at::Tensor forward_autograd(const at::Tensor& input, const at::Tensor& kernel,
                            at::IntArrayRef padding) {
  return detail::DynamicFunction<DispatcherCalls>::apply(input, kernel, padding.vec());
}

at::Tensor forward_autocast(const at::Tensor& input, const at::Tensor& kernel,
                            at::IntArrayRef padding) {
  const NoAutocast off;
  return DispatcherCalls::forward(lowered(input), lowered(kernel), padding.vec());
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def("dynamic_conv2d(Tensor input, Tensor kernel, int[] padding) -> Tensor");
  library.def(
      "dynamic_conv2d_backward(Tensor grad, Tensor input, Tensor kernel, int[] padding) "
      "-> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(deeplight, CPU, library) {
  library.impl("dynamic_conv2d", &deeplight::functional::forward_cpu);
  library.impl("dynamic_conv2d_backward", &deeplight::functional::backward_cpu);
}

// Devices without a kernel of ours: PyTorch's convolution.
TORCH_LIBRARY_IMPL(deeplight, CompositeExplicitAutograd, library) {
  library.impl("dynamic_conv2d", &deeplight::functional::forward_composed);
  library.impl("dynamic_conv2d_backward", &deeplight::functional::backward_composed);
}

TORCH_LIBRARY_IMPL(deeplight, Meta, library) {
  library.impl("dynamic_conv2d", &deeplight::functional::forward_fake);
  library.impl("dynamic_conv2d_backward", &deeplight::functional::backward_fake);
}

TORCH_LIBRARY_IMPL(deeplight, Autograd, library) {
  library.impl("dynamic_conv2d", &deeplight::functional::forward_autograd);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCPU, library) {
  library.impl("dynamic_conv2d", &deeplight::functional::forward_autocast);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCUDA, library) {
  library.impl("dynamic_conv2d", &deeplight::functional::forward_autocast);
}
