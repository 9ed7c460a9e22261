// torch.ops.deeplight.pixel_warp: schema, CPU kernel, fake kernel, autograd, autocast.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "deeplight/functional/affine_warp_inl.hpp"
#include "op_support.hpp"
#include "simd_levels.hpp"

#ifdef DEEPLIGHT_CUDA_KERNELS
#include "affine_warp_cuda.hpp"
#endif

DEEPLIGHT_SIMD_DISPATCH(kernels::WarpTables, warp_table)

namespace deeplight::functional {
namespace {

using TwoTensors = std::tuple<at::Tensor, at::Tensor>;

detail::WarpOptions options_of(double centre_x, double centre_y, double max_shift,
                               std::int64_t padding, at::IntArrayRef size) {
  require(padding >= 0 && padding <= static_cast<int>(WarpPadding::reflection_centres),
          "pixel_warp: padding must be 0 to 3, got ", padding);
  return {centre_x, centre_y, max_shift, static_cast<WarpPadding>(padding), size.vec()};
}

at::Tensor forward_cpu(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                       double centre_y, double max_shift, std::int64_t padding,
                       at::IntArrayRef size) {
  return detail::pixel_warp_cpu(ops::warp_table(), image, matrix,
                                options_of(centre_x, centre_y, max_shift, padding, size));
}

at::Tensor forward_composed(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                            double centre_y, double max_shift, std::int64_t padding,
                            at::IntArrayRef size) {
  const auto options = options_of(centre_x, centre_y, max_shift, padding, size);
  return pixel_warp_reference(image, matrix, centre_x, centre_y, max_shift, options.padding,
                              options.size);
}

TwoTensors backward_cpu(const at::Tensor& grad, const at::Tensor& image, const at::Tensor& matrix,
                        double centre_x, double centre_y, double max_shift, std::int64_t padding,
                        at::IntArrayRef size) {
  return detail::pixel_warp_backward_cpu(ops::warp_table(), grad, image, matrix,
                                         options_of(centre_x, centre_y, max_shift, padding, size));
}

at::Tensor forward_fake(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                        double centre_y, double max_shift, std::int64_t padding,
                        at::IntArrayRef size) {
  const bool own = size.empty();
  return at::empty_symint(
      {image.sym_size(0), image.sym_size(1), own ? image.sym_size(2) : c10::SymInt(size[0]),
       own ? image.sym_size(3) : c10::SymInt(size[1])},
      image.options(), image.suggest_memory_format());
}

TwoTensors backward_fake(const at::Tensor& grad, const at::Tensor& image, const at::Tensor& matrix,
                         double centre_x, double centre_y, double max_shift, std::int64_t padding,
                         at::IntArrayRef size) {
  return {at::empty_like(image), at::empty_symint(matrix.sym_sizes(), matrix.options())};
}

struct DispatcherWarp {
  static at::Tensor forward(const at::Tensor& image, const at::Tensor& matrix,
                            const detail::WarpOptions& o) {
    static const auto handle = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("deeplight::pixel_warp", "")
                                   .typed<decltype(forward_cpu)>();
    return handle.call(image, matrix, o.centre_x, o.centre_y, o.max_shift,
                       static_cast<std::int64_t>(o.padding), o.size);
  }
  static TwoTensors backward(const at::Tensor& grad, const at::Tensor& image,
                             const at::Tensor& matrix, const detail::WarpOptions& o) {
    static const auto handle = c10::Dispatcher::singleton()
                                   .findSchemaOrThrow("deeplight::pixel_warp_backward", "")
                                   .typed<decltype(backward_cpu)>();
    return handle.call(grad, image, matrix, o.centre_x, o.centre_y, o.max_shift,
                       static_cast<std::int64_t>(o.padding), o.size);
  }
};

at::Tensor forward_autograd(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                            double centre_y, double max_shift, std::int64_t padding,
                            at::IntArrayRef size) {
  // Devices without a kernel of ours differentiate PyTorch's operations.
  static const auto backward =
      c10::Dispatcher::singleton().findSchemaOrThrow("deeplight::pixel_warp_backward", "");
  if (!backward.hasKernelForDispatchKey(image.options().computeDispatchKey()))
    return forward_composed(image, matrix, centre_x, centre_y, max_shift, padding, size);
  return detail::WarpFunction<DispatcherWarp>::apply(
      image, matrix, std::vector<double>{centre_x, centre_y, max_shift}, padding, size.vec());
}

// Positions lose whole pixels in half precision: autocast computes in float32.
at::Tensor forward_autocast(const at::Tensor& image, const at::Tensor& matrix, double centre_x,
                            double centre_y, double max_shift, std::int64_t padding,
                            at::IntArrayRef size) {
  const NoAutocast off;
  const auto full = [](const at::Tensor& tensor) {
    return tensor.scalar_type() == at::kDouble ? tensor : tensor.to(at::kFloat);
  };
  return DispatcherWarp::forward(full(image), full(matrix),
                                 options_of(centre_x, centre_y, max_shift, padding, size));
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def(
      "pixel_warp(Tensor image, Tensor matrix, float centre_x, float centre_y, float max_shift, "
      "int padding, int[] size) -> Tensor");
  library.def(
      "pixel_warp_backward(Tensor grad, Tensor image, Tensor matrix, float centre_x, "
      "float centre_y, float max_shift, int padding, int[] size) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(deeplight, CPU, library) {
  library.impl("pixel_warp", &deeplight::functional::forward_cpu);
  library.impl("pixel_warp_backward", &deeplight::functional::backward_cpu);
}

TORCH_LIBRARY_IMPL(deeplight, CompositeExplicitAutograd, library) {
  library.impl("pixel_warp", &deeplight::functional::forward_composed);
}

TORCH_LIBRARY_IMPL(deeplight, Meta, library) {
  library.impl("pixel_warp", &deeplight::functional::forward_fake);
  library.impl("pixel_warp_backward", &deeplight::functional::backward_fake);
}

TORCH_LIBRARY_IMPL(deeplight, Autograd, library) {
  library.impl("pixel_warp", &deeplight::functional::forward_autograd);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCPU, library) {
  library.impl("pixel_warp", &deeplight::functional::forward_autocast);
}

TORCH_LIBRARY_IMPL(deeplight, AutocastCUDA, library) {
  library.impl("pixel_warp", &deeplight::functional::forward_autocast);
}
