// What the large selective kernel computes between its convolutions, on CUDA. The operators are
// large_selective_kernel_op.cpp's own: without gradients, on contiguous tensors of one type.
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <torch/library.h>

#include "cuda_launch.hpp"
#include "deeplight/kernels/selective_maps.cuh"

namespace deeplight::functional {
namespace {

at::Tensor maps_cuda(const at::Tensor& first, const at::Tensor& second) {
  const c10::cuda::CUDAGuard guard(first.device());
  const std::int64_t batch = first.size(0), pixels = first.size(2) * first.size(3);
  auto maps = at::empty({batch, 2, first.size(2), first.size(3)}, first.options());
  if (maps.numel() == 0) return maps;
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, first.scalar_type(), "selective_maps", [&] {
        kernels::selective_maps_kernel<scalar_t>
            <<<cuda_blocks(batch * pixels), cuda_threads, 0, at::cuda::getCurrentCUDAStream()>>>(
                batch, first.size(1), pixels, first.const_data_ptr<scalar_t>(),
                second.const_data_ptr<scalar_t>(), maps.mutable_data_ptr<scalar_t>());
        C10_CUDA_KERNEL_LAUNCH_CHECK();
      });
  return maps;
}

at::Tensor mix_cuda(const at::Tensor& first, const at::Tensor& second, const at::Tensor& gates,
                    const at::Tensor& bias) {
  const c10::cuda::CUDAGuard guard(first.device());
  const std::int64_t batch = first.size(0), pixels = first.size(2) * first.size(3);
  auto mixed = at::empty(first.sizes(), first.options());
  if (mixed.numel() == 0) return mixed;
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, first.scalar_type(), "selective_mix", [&] {
        kernels::selective_mix_kernel<scalar_t>
            <<<cuda_blocks(batch * pixels), cuda_threads, 0, at::cuda::getCurrentCUDAStream()>>>(
                batch, first.size(1), pixels, first.const_data_ptr<scalar_t>(),
                second.const_data_ptr<scalar_t>(), gates.const_data_ptr<scalar_t>(),
                bias.const_data_ptr<scalar_t>(), mixed.mutable_data_ptr<scalar_t>());
        C10_CUDA_KERNEL_LAUNCH_CHECK();
      });
  return mixed;
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def("selective_maps(Tensor first, Tensor second) -> Tensor");
  library.def("selective_mix(Tensor first, Tensor second, Tensor gates, Tensor bias) -> Tensor");
}

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("selective_maps", &deeplight::functional::maps_cuda);
  library.impl("selective_mix", &deeplight::functional::mix_cuda);
}
