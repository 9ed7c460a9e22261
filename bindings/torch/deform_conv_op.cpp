// torch.ops.deeplight.deform_conv2d: schema, CPU kernel, fake kernel, autograd, autocast.
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "deeplight/functional/deform_conv_inl.hpp"
#include "simd_levels.hpp"

#ifdef DEEPLIGHT_CUDA_KERNELS
#include "deform_conv_cuda.hpp"
#endif

DEEPLIGHT_SIMD_DISPATCH(kernels::DeformConvTable, deform_conv_table)

namespace deeplight::functional {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

Pair pair_of(at::IntArrayRef values, const char* name) {
  require(values.size() == 2, "deform_conv2d: ", name, " must have two values, got ",
          values.size());
  return {values[0], values[1]};
}

at::Tensor forward_cpu(const at::Tensor& input, const at::Tensor& offset, const at::Tensor& weight,
                       const OptionalTensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                       at::IntArrayRef dilation, const OptionalTensor& mask) {
  return detail::deform_conv2d_cpu(ops::deform_conv_table(), input, offset, weight, bias,
                                   pair_of(stride, "stride"), pair_of(padding, "padding"),
                                   pair_of(dilation, "dilation"), mask);
}

detail::DeformGradients backward_cpu(const at::Tensor& grad, const at::Tensor& input,
                                     const at::Tensor& offset, const at::Tensor& weight,
                                     const OptionalTensor& bias, at::IntArrayRef stride,
                                     at::IntArrayRef padding, at::IntArrayRef dilation,
                                     const OptionalTensor& mask) {
  auto gradients = detail::deform_conv2d_backward_cpu(
      ops::deform_conv_table(), grad, input, offset, weight, bias, pair_of(stride, "stride"),
      pair_of(padding, "padding"), pair_of(dilation, "dilation"), mask);
  // A schema's results are always defined; absent inputs get an empty gradient.
  if (!bias) std::get<3>(gradients) = at::empty({0}, grad.options());
  if (!mask) std::get<4>(gradients) = at::empty({0}, grad.options());
  return gradients;
}

at::Tensor forward_fake(const at::Tensor& input, const at::Tensor& offset, const at::Tensor& weight,
                        const OptionalTensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                        at::IntArrayRef dilation, const OptionalTensor& mask) {
  // Symbolic sizes: the output grid is the offset's, which the CPU kernel checks.
  return at::empty_symint(
      {input.sym_size(0), weight.sym_size(0), offset.sym_size(2), offset.sym_size(3)},
      input.options(), input.suggest_memory_format());
}

detail::DeformGradients backward_fake(const at::Tensor& grad, const at::Tensor& input,
                                      const at::Tensor& offset, const at::Tensor& weight,
                                      const OptionalTensor& bias, at::IntArrayRef stride,
                                      at::IntArrayRef padding, at::IntArrayRef dilation,
                                      const OptionalTensor& mask) {
  const auto like = [](const at::Tensor& tensor) {
    return at::empty_symint(tensor.sym_sizes(), tensor.options());
  };
  const auto absent = at::empty({0}, grad.options());
  const auto image =
      at::empty_symint(input.sym_sizes(), input.options(), input.suggest_memory_format());
  return {image, like(offset), like(weight), bias ? like(*bias) : absent,
          mask ? like(*mask) : absent};
}

using ForwardSchema = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                 const OptionalTensor&, at::IntArrayRef, at::IntArrayRef,
                                 at::IntArrayRef, const OptionalTensor&);
using BackwardSchema = detail::DeformGradients(const at::Tensor&, const at::Tensor&,
                                               const at::Tensor&, const at::Tensor&,
                                               const OptionalTensor&, at::IntArrayRef,
                                               at::IntArrayRef, at::IntArrayRef,
                                               const OptionalTensor&);

auto forward_operator() {
  static const auto handle = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("deeplight::deform_conv2d", "")
                                 .typed<ForwardSchema>();
  return handle;
}

auto backward_operator() {
  static const auto handle = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("deeplight::deform_conv2d_backward", "")
                                 .typed<BackwardSchema>();
  return handle;
}

struct Differentiable : torch::autograd::Function<Differentiable> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& offset, const at::Tensor& weight,
                            const OptionalTensor& bias, const OptionalTensor& mask,
                            std::vector<std::int64_t> stride, std::vector<std::int64_t> padding,
                            std::vector<std::int64_t> dilation) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward(
        {input, offset, weight, bias.value_or(at::Tensor()), mask.value_or(at::Tensor())});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    context->saved_data["dilation"] = dilation;
    return forward_operator().call(input, offset, weight, bias, stride, padding, dilation, mask);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto optional = [](const at::Tensor& tensor) {
      return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
    };
    const auto stride = context->saved_data["stride"].toIntVector();
    const auto padding = context->saved_data["padding"].toIntVector();
    const auto dilation = context->saved_data["dilation"].toIntVector();
    const auto shift = optional(saved[3]), factor = optional(saved[4]);
    // With create_graph the gradients are differentiated again: the kernels' are not, the
    // reference's are.
    auto [input, offset, weight, bias, mask] =
        at::GradMode::is_enabled()
            ? detail::deform_conv2d_backward_reference(
                  grads[0], saved[0], saved[1], saved[2], shift, {stride[0], stride[1]},
                  {padding[0], padding[1]}, {dilation[0], dilation[1]}, factor)
            : backward_operator().call(grads[0], saved[0], saved[1], saved[2], shift, stride,
                                       padding, dilation, factor);
    return {input,
            offset,
            weight,
            saved[3].defined() ? bias : at::Tensor(),
            saved[4].defined() ? mask : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

at::Tensor forward_autograd(const at::Tensor& input, const at::Tensor& offset,
                            const at::Tensor& weight, const OptionalTensor& bias,
                            at::IntArrayRef stride, at::IntArrayRef padding,
                            at::IntArrayRef dilation, const OptionalTensor& mask) {
  return Differentiable::apply(input, offset, weight, bias, mask, stride.vec(), padding.vec(),
                               dilation.vec());
}

// Sampling positions lose whole pixels in half precision: autocast computes in float32.
at::Tensor forward_autocast(const at::Tensor& input, const at::Tensor& offset,
                            const at::Tensor& weight, const OptionalTensor& bias,
                            at::IntArrayRef stride, at::IntArrayRef padding,
                            at::IntArrayRef dilation, const OptionalTensor& mask) {
  const c10::impl::ExcludeDispatchKeyGuard off(
      c10::DispatchKeySet({c10::DispatchKey::AutocastCPU, c10::DispatchKey::AutocastCUDA}));
  const auto full = [](const at::Tensor& tensor) {
    return tensor.scalar_type() == at::kDouble ? tensor : tensor.to(at::kFloat);
  };
  const auto full_optional = [&](const OptionalTensor& tensor) {
    return tensor ? OptionalTensor(full(*tensor)) : std::nullopt;
  };
  return forward_operator().call(full(input), full(offset), full(weight), full_optional(bias),
                                 stride, padding, dilation, full_optional(mask));
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def(
      "deform_conv2d(Tensor input, Tensor offset, Tensor weight, Tensor? bias, int[] stride, "
      "int[] padding, int[] dilation, Tensor? mask) -> Tensor");
  library.def(
      "deform_conv2d_backward(Tensor grad, Tensor input, Tensor offset, Tensor weight, "
      "Tensor? bias, int[] stride, int[] padding, int[] dilation, Tensor? mask) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(deeplight, CPU, library) {
  library.impl("deform_conv2d", &deeplight::functional::forward_cpu);
  library.impl("deform_conv2d_backward", &deeplight::functional::backward_cpu);
}

TORCH_LIBRARY_IMPL(deeplight, Meta, library) {
  library.impl("deform_conv2d", &deeplight::functional::forward_fake);
  library.impl("deform_conv2d_backward", &deeplight::functional::backward_fake);
}

TORCH_LIBRARY_IMPL(deeplight, Autograd, library) {
  library.impl("deform_conv2d", &deeplight::functional::forward_autograd);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCPU, library) {
  library.impl("deform_conv2d", &deeplight::functional::forward_autocast);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCUDA, library) {
  library.impl("deform_conv2d", &deeplight::functional::forward_autocast);
}
