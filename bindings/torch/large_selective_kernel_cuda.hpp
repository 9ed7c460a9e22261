// What the large selective kernel computes between its convolutions, on CUDA, as operators of their
// own: without gradients, on contiguous tensors of one type.
#pragma once

#include <ATen/Functions.h>
#include <torch/library.h>

#include "cuda_tensors.hpp"
#include "selective_maps_launch.hpp"

namespace deeplight::cuda {
namespace {

SelectiveSizes selective_sizes(const at::Tensor& first) {
  return {type_of(first), first.size(0), first.size(1), first.size(2) * first.size(3), stream()};
}

at::Tensor selective_maps(const at::Tensor& first, const at::Tensor& second) {
  const c10::cuda::CUDAGuard guard(first.device());
  const auto maps = at::empty({first.size(0), 2, first.size(2), first.size(3)}, first.options());
  if (maps.numel() > 0)
    C10_CUDA_CHECK(
        launch_selective_maps(selective_sizes(first), read(first), read(second), write(maps)));
  return maps;
}

at::Tensor selective_mix(const at::Tensor& first, const at::Tensor& second, const at::Tensor& gates,
                         const at::Tensor& bias) {
  const c10::cuda::CUDAGuard guard(first.device());
  const auto mixed = at::empty(first.sizes(), first.options());
  if (mixed.numel() > 0)
    C10_CUDA_CHECK(launch_selective_mix(selective_sizes(first), read(first), read(second),
                                        read(gates), read(bias), write(mixed)));
  return mixed;
}

}  // namespace
}  // namespace deeplight::cuda

TORCH_LIBRARY_FRAGMENT(deeplight, library) {
  library.def("selective_maps(Tensor first, Tensor second) -> Tensor");
  library.def("selective_mix(Tensor first, Tensor second, Tensor gates, Tensor bias) -> Tensor");
}

TORCH_LIBRARY_IMPL(deeplight, CUDA, library) {
  library.impl("selective_maps", &deeplight::cuda::selective_maps);
  library.impl("selective_mix", &deeplight::cuda::selective_mix);
}
