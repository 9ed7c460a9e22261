// torch.ops.deeplight.conv3x3: schema, CPU kernel, fake kernel, autograd, autocast.
#include <torch/library.h>

#include "deeplight/functional/conv3x3_inl.hpp"
#include "op_support.hpp"
#include "simd_levels.hpp"

DEEPLIGHT_SIMD_DISPATCH(kernels::Conv3x3Table, conv3x3_table)

namespace deeplight::functional {
namespace {

at::Tensor forward_cpu(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                       double slope) {
  return detail::conv3x3_cpu(ops::conv3x3_table(), input, weight, bias, slope);
}

at::Tensor forward_fake(const at::Tensor& input, const at::Tensor& weight, const at::Tensor&,
                        double) {
  return at::empty_symint(
      {input.sym_size(0), weight.sym_size(0), input.sym_size(2), input.sym_size(3)},
      input.options(), input.suggest_memory_format());
}

at::Tensor call(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                double slope) {
  static const auto handle = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("deeplight::conv3x3", "")
                                 .typed<decltype(forward_cpu)>();
  return handle.call(input, weight, bias, slope);
}

/// With gradients PyTorch's convolution, which knows them; without, the kernels.
at::Tensor forward_autograd(const at::Tensor& input, const at::Tensor& weight,
                            const at::Tensor& bias, double slope) {
  if (detail::any_gradient(input, weight, bias))
    return detail::conv3x3_composed(input, weight, bias, slope);
  const at::AutoDispatchBelowADInplaceOrView below;
  return call(input, weight, bias, slope);
}

at::Tensor forward_autocast(const at::Tensor& input, const at::Tensor& weight,
                            const at::Tensor& bias, double slope) {
  const NoAutocast off;
  return call(lowered(input), lowered(weight), lowered(bias), slope);
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def("conv3x3(Tensor input, Tensor weight, Tensor bias, float slope) -> Tensor");
}

TORCH_LIBRARY_IMPL(deeplight, CPU, library) {
  library.impl("conv3x3", &deeplight::functional::forward_cpu);
}

// Devices without a kernel of ours: PyTorch's convolution.
TORCH_LIBRARY_IMPL(deeplight, CompositeExplicitAutograd, library) {
  library.impl("conv3x3", &deeplight::functional::detail::conv3x3_composed);
}

TORCH_LIBRARY_IMPL(deeplight, Meta, library) {
  library.impl("conv3x3", &deeplight::functional::forward_fake);
}

TORCH_LIBRARY_IMPL(deeplight, Autograd, library) {
  library.impl("conv3x3", &deeplight::functional::forward_autograd);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCPU, library) {
  library.impl("conv3x3", &deeplight::functional::forward_autocast);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCUDA, library) {
  library.impl("conv3x3", &deeplight::functional::forward_autocast);
}
