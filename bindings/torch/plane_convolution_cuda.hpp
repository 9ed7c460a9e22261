// What depthwise and dynamic convolution on CUDA share: sizes and launches of their planes.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

#include <algorithm>
#include <utility>

#include "cuda_tensors.hpp"
#include "deeplight/functional/pair.hpp"
#include "plane_convolution_launch.hpp"

namespace deeplight::cuda {

using kernels::PlaneConvolution;
using kernels::PlaneCorrelation;
using OptionalTensor = std::optional<at::Tensor>;

inline functional::Pair pair(at::IntArrayRef values) {
  return {values[0], values[1]};
}

/// Sizes of the forward pass. Kernels [kernels, outputs, inputs, kh, kw].
inline PlaneConvolution planes(const at::Tensor& input, const at::Tensor& weight,
                               std::int64_t items, functional::Pair padding,
                               functional::Pair dilation) {
  PlaneConvolution g;
  const std::int64_t last = weight.dim() - 1;
  g.items = items, g.kernels = weight.size(0);
  g.height = input.size(2), g.width = input.size(3);
  g.kernel_h = static_cast<int>(weight.size(last - 1)),
  g.kernel_w = static_cast<int>(weight.size(last));
  g.dilation_h = static_cast<int>(dilation[0]), g.dilation_w = static_cast<int>(dilation[1]);
  g.pad_h = padding[0], g.pad_w = padding[1];
  g.out_height = g.height + 2 * g.pad_h - dilation[0] * (g.kernel_h - 1);
  g.out_width = g.width + 2 * g.pad_w - dilation[1] * (g.kernel_w - 1);
  return g;
}

/// The convolution of the gradient that is the gradient for the image.
inline PlaneConvolution turned(PlaneConvolution g) {
  std::swap(g.inputs, g.outputs);
  std::swap(g.height, g.out_height);
  std::swap(g.width, g.out_width);
  g.pad_h = std::int64_t{g.dilation_h} * (g.kernel_h - 1) - g.pad_h;
  g.pad_w = std::int64_t{g.dilation_w} * (g.kernel_w - 1) - g.pad_w;
  g.turned = true;
  return g;
}

inline PlaneCorrelation correlation(const PlaneConvolution& g) {
  PlaneCorrelation c;
  c.groups = g.kernels, c.batch = g.kernels == 0 ? 0 : g.items / g.kernels;
  c.inputs = g.inputs, c.outputs = g.outputs;
  c.height = g.height, c.width = g.width, c.out_height = g.out_height, c.out_width = g.out_width;
  c.kernel_h = g.kernel_h, c.kernel_w = g.kernel_w;
  c.dilation_h = g.dilation_h, c.dilation_w = g.dilation_w;
  c.pad_h = g.pad_h, c.pad_w = g.pad_w;
  // Enough blocks for any device, few enough that their sums are little beside the images.
  c.parts = std::clamp<std::int64_t>(2048 / std::max<std::int64_t>(c.pairs(), 1), 1,
                                     std::max<std::int64_t>(c.tiles(), 1));
  return c;
}

/// Whether blocks of our kernels, in both directions, fit every device.
inline bool fits(const at::Tensor& input, const PlaneConvolution& g) {
  if (g.kernel_h > 64 || g.kernel_w > 64 || g.dilation_h > 8 || g.dilation_w > 64) return false;
  const std::int64_t both = std::max(g.block_size(2), correlation(g).block_size());
  return g.tile_height() < 512 &&
         both * (input.scalar_type() == at::kDouble ? 8 : 4) <= shared_memory &&
         g.strips() * kernels::plane_columns <= 512 && correlation(g).threads() <= 512;
}

inline void convolve_planes(const PlaneConvolution& g, int together, const at::Tensor& image,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& out) {
  if (out.numel() == 0) return;
  C10_CUDA_CHECK(launch_planes(type_of(image), g, together, read(image), read(weight), read(bias),
                               write(out), stream()));
}

inline void correlate_planes(const PlaneCorrelation& c, const at::Tensor& image,
                             const at::Tensor& grad, const at::Tensor& found) {
  if (found.numel() == 0) return;
  const auto partial =
      at::empty({c.pairs(), c.parts, c.taps()}, image.options().dtype(sum_type(image)));
  C10_CUDA_CHECK(launch_correlation(type_of(image), c, read(image), read(grad), write(partial),
                                    write(found), stream()));
}

}  // namespace deeplight::cuda
