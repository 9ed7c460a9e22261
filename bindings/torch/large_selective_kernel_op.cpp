// torch.ops.deeplight.large_selective_kernel: schema, CPU kernel, fake kernel, autograd, autocast.
// `weights` are the twelve tensors of functional::detail::SelectiveIndex, in that order.
#include <torch/library.h>

#include "deeplight/functional/large_selective_kernel_inl.hpp"
#include "op_support.hpp"
#include "simd_levels.hpp"

#ifdef DEEPLIGHT_CUDA_KERNELS
#include "large_selective_kernel_cuda.hpp"
#endif

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

/// The operator of that name, or none where its kernels were not built.
template <class Schema>
std::optional<c10::TypedOperatorHandle<Schema>> find_operator(const char* name) {
  const auto found = c10::Dispatcher::singleton().findSchema({name, ""});
  if (!found) return std::nullopt;
  return found->typed<Schema>();
}

/// From kernels of ours, beside PyTorch's 1x1 convolutions; none where they were not built.
std::optional<at::Tensor> forward_on_device(const at::Tensor& input, const at::Tensor& multiplier,
                                            at::TensorList w, Pair first, Pair second) {
  using Four =
      at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&);
  using Depthwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                               const std::optional<at::Tensor>&, at::IntArrayRef, at::IntArrayRef);
  static const auto maps_of =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&)>("deeplight::selective_maps");
  static const auto mix = find_operator<Four>("deeplight::selective_mix");
  static const auto depthwise = find_operator<Depthwise>("deeplight::depthwise_conv2d");
  static const auto dynamic =
      find_operator<at::Tensor(const at::Tensor&, const at::Tensor&, at::IntArrayRef)>(
          "deeplight::dynamic_conv2d");
  if (!maps_of || !mix || !input.is_cuda() || input.numel() == 0) return std::nullopt;
  detail::check_selective(input, multiplier, w, first, second);
  const auto filtered = [&](const at::Tensor& image, const at::Tensor& weight,
                            const at::Tensor& bias, Pair dilation) {
    const Pair padding{dilation[0] * (weight.size(2) / 2), dilation[1] * (weight.size(3) / 2)};
    return depthwise->call(image, weight, bias, padding, dilation);
  };
  const auto squeezed = [](const at::Tensor& image, const at::Tensor& weight,
                           const at::Tensor& bias) {
    return detail::convolve(image, weight, bias, {1, 1}, 1).contiguous();
  };
  using namespace detail;
  const auto near = filtered(input, w[selective_first], w[selective_first_bias], first);
  const auto far = filtered(near, w[selective_second], w[selective_second_bias], second);
  const auto a = squeezed(near, w[selective_first_squeeze], w[selective_first_squeeze_bias]);
  const auto b = squeezed(far, w[selective_second_squeeze], w[selective_second_squeeze_bias]);
  const auto selection = selection_per_sample(w[selective_selection], input.size(0));
  const Pair padding{selection.size(3) / 2, selection.size(4) / 2};
  const auto gates = dynamic->call(maps_of->call(a, b), selection, padding);
  const auto mixed = mix->call(a, b, gates.contiguous(), w[selective_selection_bias].contiguous());
  const auto result = convolve(mixed, w[selective_expand], w[selective_expand_bias], {1, 1}, 1);
  return (result * multiplier).contiguous();
}

at::Tensor forward_composed(const at::Tensor& input, const at::Tensor& multiplier,
                            at::TensorList weights, at::IntArrayRef first, at::IntArrayRef second) {
  const auto ours =
      forward_on_device(input, multiplier, weights, dilation_of(first), dilation_of(second));
  if (ours) return *ours;
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
