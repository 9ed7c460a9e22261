// Launches of deformable convolution on CUDA.
#include "deform_conv_launch.hpp"

#include "cuda_types.cuh"
#include "deeplight/kernels/deform_conv_backward.cuh"
#include "deeplight/kernels/deform_conv_fused.cuh"

namespace deeplight::cuda {
namespace {

using kernels::product_threads;
using kernels::Wide;

template <class T>
void launch_exponent(const DeformArguments& call, std::int64_t count, const void* values,
                     int* exponent) {
  const auto blocks = std::min(grid_of(count), 1024U);
  kernels::largest_exponent_kernel<T>
      <<<blocks, block_threads, block_threads * sizeof(int), call.stream>>>(count, read<T>(values),
                                                                            exponent);
}

}  // namespace

cudaError_t launch_deform_forward(const DeformArguments& call, void* out) {
  with_product(call.type, call.tensor_cores, [&](auto zero, auto tensor_cores) {
    using T = decltype(zero);
    constexpr std::size_t shared = sizeof(kernels::DeformFusedMemory<T>);
    static_assert(shared <= shared_memory);
    kernels::deform_fused_kernel<T, decltype(tensor_cores)::value>
        <<<grid_of(call.f.forward_blocks(call.g), 1), product_threads, shared, call.stream>>>(
            call.g, call.f, read<T>(call.image), read<T>(call.offset), read<T>(call.mask),
            read<T>(call.weight), read<T>(call.bias), write<T>(out));
  });
  return cudaGetLastError();
}

cudaError_t launch_deform_exponents(const DeformArguments& call, int* exponents) {
  const auto& g = call.g;
  const auto& f = call.f;
  with_type(call.type, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t outputs = f.groups * f.outputs;
    launch_exponent<T>(call, f.batch * outputs * g.positions(), call.grad, exponents);
    launch_exponent<T>(call, outputs * f.depth * g.taps(), call.weight, exponents + 1);
    if (call.mask)
      launch_exponent<T>(call, f.batch * g.offset_groups * g.taps() * g.positions(), call.mask,
                         exponents + 2);
  });
  return cudaGetLastError();
}

cudaError_t launch_deform_backward(const DeformArguments& call, const kernels::DeformRange& range,
                                   const DeformGradientArguments& to) {
  with_product(call.type, call.tensor_cores, [&](auto zero, auto tensor_cores) {
    using T = decltype(zero);
    constexpr bool on_tensor_cores = decltype(tensor_cores)::value;
    constexpr std::size_t shared = sizeof(kernels::DeformBackwardMemory<T>);
    static_assert(shared <= shared_memory);
    const auto blocks = grid_of(range.blocks(call.g, call.f), 1);
    const auto launch = [&](auto* scattered) {
      kernels::deform_backward_kernel<T, on_tensor_cores>
          <<<blocks, product_threads, shared, call.stream>>>(
              call.g, call.f, range, read<T>(call.image), read<T>(call.offset), read<T>(call.mask),
              read<T>(call.weight), read<T>(call.grad), to.exponents, scattered, write<T>(to.image),
              write<T>(to.offset), write<T>(to.mask));
    };
    if (!to.exponents) return launch(write<Wide<T>>(to.scattered));
    auto* whole = write<unsigned long long>(to.scattered);
    launch(whole);
    const auto count = range.samples * range.channels() * call.g.height * call.g.width;
    kernels::deform_unscale_kernel<T><<<grid_of(count), block_threads, 0, call.stream>>>(
        call.g, call.f, range, to.exponents, whole, write<T>(to.image));
  });
  return cudaGetLastError();
}

cudaError_t launch_deform_weight(const DeformArguments& call, std::int64_t parts, void* partial,
                                 void* grad_weight) {
  with_product(call.type, call.tensor_cores, [&](auto zero, auto tensor_cores) {
    using T = decltype(zero);
    constexpr std::size_t shared = sizeof(kernels::DeformWeightMemory<T>);
    static_assert(shared <= shared_memory);
    auto* sums = write<Wide<T>>(partial);
    kernels::deform_weight_kernel<T, decltype(tensor_cores)::value>
        <<<grid_of(parts * call.f.weight_blocks(call.g), 1), product_threads, shared,
           call.stream>>>(call.g, call.f, parts, read<T>(call.image), read<T>(call.offset),
                          read<T>(call.mask), read<T>(call.grad), sums);
    const std::int64_t count = call.f.groups * call.f.outputs * call.f.depth * call.g.taps();
    kernels::fold_kernel<Wide<T>, T><<<grid_of(count), block_threads, 0, call.stream>>>(
        count, count, parts, sums, write<T>(grad_weight));
  });
  return cudaGetLastError();
}

}  // namespace deeplight::cuda
