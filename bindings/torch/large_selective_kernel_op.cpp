// torch.ops.deeplight.large_selective_kernel: schema, CPU kernel, fake kernel, autograd, autocast.
// `weights` are the twelve tensors of functional::detail::SelectiveIndex, in that order.
#include <torch/library.h>

#include "deeplight/functional/large_selective_kernel_inl.hpp"
#include "op_support.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DISPATCH(kernels::SelectiveTables, large_selective_kernel_table)

namespace deeplight::functional {
namespace {

Pair dilation_of(at::IntArrayRef dilation) {
  return pair_of(dilation, "large_selective_kernel", "dilation");
}

at::Tensor forward_cpu(const at::Tensor& input, const at::Tensor& multiplier,
                       at::TensorList weights, at::IntArrayRef first, at::IntArrayRef second) {
  return detail::large_selective_kernel_cpu(ops::large_selective_kernel_table(), input, multiplier,
                                            weights, dilation_of(first), dilation_of(second));
}

at::Tensor forward_composed(const at::Tensor& input, const at::Tensor& multiplier,
                            at::TensorList weights, at::IntArrayRef first, at::IntArrayRef second) {
  return detail::large_selective_kernel_composed(input, multiplier, weights, dilation_of(first),
                                                 dilation_of(second));
}

std::vector<at::Tensor> backward_cpu(const at::Tensor& grad, const at::Tensor& input,
                                     const at::Tensor& multiplier, at::TensorList weights,
                                     at::IntArrayRef first, at::IntArrayRef second) {
  return detail::large_selective_kernel_backward_cpu(ops::large_selective_kernel_table(), grad,
                                                     input, multiplier, weights, dilation_of(first),
                                                     dilation_of(second));
}

std::vector<at::Tensor> backward_composed(const at::Tensor& grad, const at::Tensor& input,
                                          const at::Tensor& multiplier, at::TensorList weights,
                                          at::IntArrayRef first, at::IntArrayRef second) {
  return detail::large_selective_kernel_backward_composed(grad, input, multiplier, weights,
                                                          dilation_of(first), dilation_of(second));
}

at::Tensor forward_fake(const at::Tensor& input, const at::Tensor& multiplier,
                        at::TensorList weights, at::IntArrayRef first, at::IntArrayRef second) {
  return at::empty_symint(multiplier.sym_sizes(), multiplier.options());
}

std::vector<at::Tensor> backward_fake(const at::Tensor& grad, const at::Tensor& input,
                                      const at::Tensor& multiplier, at::TensorList weights,
                                      at::IntArrayRef first, at::IntArrayRef second) {
  const auto like = [](const at::Tensor& tensor) {
    return at::empty_symint(tensor.sym_sizes(), tensor.options());
  };
  std::vector<at::Tensor> all{like(input), like(multiplier)};
  for (const auto& weight : weights) all.push_back(like(weight));
  return all;
}

struct DispatcherCalls {
  static at::Tensor forward(const at::Tensor& input, const at::Tensor& multiplier,
                            at::TensorList weights, const std::vector<std::int64_t>& first,
                            const std::vector<std::int64_t>& second) {
    static const auto handle = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("deeplight::large_selective_kernel", "")
                                   .typed<decltype(forward_cpu)>();
    return handle.call(input, multiplier, weights, first, second);
  }
  static std::vector<at::Tensor> backward(const at::Tensor& grad, const at::Tensor& input,
                                          const at::Tensor& multiplier, at::TensorList weights,
                                          const std::vector<std::int64_t>& first,
                                          const std::vector<std::int64_t>& second) {
    static const auto handle =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("deeplight::large_selective_kernel_backward", "")
            .typed<decltype(backward_cpu)>();
    return handle.call(grad, input, multiplier, weights, first, second);
  }
};

at::Tensor forward_autograd(const at::Tensor& input, const at::Tensor& multiplier,
                            at::TensorList weights, at::IntArrayRef first, at::IntArrayRef second) {
  return detail::SelectiveFunction<DispatcherCalls>::apply(input, multiplier, weights, first.vec(),
                                                           second.vec());
}

at::Tensor forward_autocast(const at::Tensor& input, const at::Tensor& multiplier,
                            at::TensorList weights, at::IntArrayRef first, at::IntArrayRef second) {
  const NoAutocast off;
  std::vector<at::Tensor> lower;
  for (const auto& weight : weights) lower.push_back(lowered(weight));
  return DispatcherCalls::forward(lowered(input), lowered(multiplier), lower, first.vec(),
                                  second.vec());
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def(
      "large_selective_kernel(Tensor input, Tensor multiplier, Tensor[] weights, "
      "int[] first_dilation, int[] second_dilation) -> Tensor");
  library.def(
      "large_selective_kernel_backward(Tensor grad, Tensor input, Tensor multiplier, "
      "Tensor[] weights, int[] first_dilation, int[] second_dilation) -> Tensor[]");
}

TORCH_LIBRARY_IMPL(deeplight, CPU, library) {
  library.impl("large_selective_kernel", &deeplight::functional::forward_cpu);
  library.impl("large_selective_kernel_backward", &deeplight::functional::backward_cpu);
}

// Devices without a kernel of ours: PyTorch's operations.
TORCH_LIBRARY_IMPL(deeplight, CompositeExplicitAutograd, library) {
  library.impl("large_selective_kernel", &deeplight::functional::forward_composed);
  library.impl("large_selective_kernel_backward", &deeplight::functional::backward_composed);
}

TORCH_LIBRARY_IMPL(deeplight, Meta, library) {
  library.impl("large_selective_kernel", &deeplight::functional::forward_fake);
  library.impl("large_selective_kernel_backward", &deeplight::functional::backward_fake);
}

TORCH_LIBRARY_IMPL(deeplight, Autograd, library) {
  library.impl("large_selective_kernel", &deeplight::functional::forward_autograd);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCPU, library) {
  library.impl("large_selective_kernel", &deeplight::functional::forward_autocast);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCUDA, library) {
  library.impl("large_selective_kernel", &deeplight::functional::forward_autocast);
}
