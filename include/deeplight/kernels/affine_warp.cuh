// CUDA kernels of affine warps; rules as in affine_warp_cpu.hpp. No grid is stored.
//
// Threads compute where a pixel samples once for the channels that they hold: up to eight planes,
// or one channel of a channels-last image, whose neighbours belong to the neighbouring threads.
//
// The gradient of the image is scattered in fixed point, so that no bit depends on an order. The
// gradient of the matrix is summed in float64, in one order.
#pragma once

#include <cstdint>

#include "deeplight/kernels/fixed_point.cuh"
#include "deeplight/kernels/warp_axis.hpp"

namespace deeplight::kernels {

/// An image [B, C, H, W] on the device; steps in elements.
template <class T>
struct WarpImage {
  T* data = nullptr;
  std::int64_t sample = 0, channel = 0, row = 0, column = 0;

  DEEPLIGHT_HOST_DEVICE std::int64_t at(std::int64_t b, std::int64_t c, std::int64_t y,
                                        std::int64_t x) const {
    return b * sample + c * channel + y * row + x * column;
  }
};

inline constexpr std::int64_t warp_planes = 8;

/// Which thread computes what: (sample, group of channels, row, column), columns fastest, or
/// (sample, row, column, channel), channels fastest.
struct WarpWork {
  std::int64_t together, groups;  ///< channels of a thread, threads of a pixel
  bool channels_fastest;

  DEEPLIGHT_HOST_DEVICE WarpWork(const WarpGeometry& g, bool channels_last)
      : together(channels_last ? 1 : warp_planes),
        groups((g.channels + together - 1) / together),
        channels_fastest(channels_last) {}

  DEEPLIGHT_HOST_DEVICE std::int64_t size(const WarpGeometry& g) const {
    return g.batch * groups * g.out_height * g.out_width;
  }
};

/// The position of one output pixel, as WarpPositions computes it.
template <class Sum>
struct WarpPoint {
  WarpAxis<Sum> x, y;

  __device__ __forceinline__ WarpPoint(const WarpGeometry& g, const Sum* matrix, std::int64_t row,
                                       std::int64_t column) {
    const Sum across = Sum(double(column) - g.centre_x), below = Sum(double(row) - g.centre_y);
    const Sum dx = matrix[0] * across + (matrix[1] * below + matrix[2]);
    const Sum dy = matrix[3] * across + (matrix[4] * below + matrix[5]);
    const Sum limit = Sum(g.max_shift);
    // Where nothing is reflected, the fraction is the displacement's own.
    const bool inner = dx >= Sum(-column) && dx < Sum(g.width - 1 - column) && dy >= Sum(-row) &&
                       dy < Sum(g.height - 1 - row);
    const WarpPadding padding = inner ? WarpPadding::border : g.padding;
    x = warp_axis(column, dx, limit, padding, g.width);
    y = warp_axis(row, dy, limit, padding, g.height);
  }

  __device__ __forceinline__ Sum inside(int corner) const {
    return (corner >= 2 ? y.high_inside : y.low_inside) *
           (corner % 2 == 1 ? x.high_inside : x.low_inside);
  }
  __device__ __forceinline__ Sum weight(int corner) const {
    return inside(corner) * (corner >= 2 ? y.fraction : 1 - y.fraction) *
           (corner % 2 == 1 ? x.fraction : 1 - x.fraction);
  }
  /// Elements from the first pixel of a plane.
  template <class T>
  __device__ __forceinline__ std::int64_t offset(const WarpImage<T>& image, int corner) const {
    return (corner >= 2 ? y.high : y.low) * image.row +
           (corner % 2 == 1 ? x.high : x.low) * image.column;
  }
};

/// Calls visit(sample, first channel, end, row, column) for the pixels and channels of a thread.
template <class Visit>
__device__ __forceinline__ void for_each_warped(const WarpGeometry& g, const WarpWork& work,
                                                const Visit& visit) {
  const std::int64_t all = work.size(g);
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < all;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    std::int64_t sample = i, group = 0;
    if (work.channels_fastest) group = take(sample, work.groups);
    const std::int64_t column = take(sample, g.out_width), row = take(sample, g.out_height);
    if (!work.channels_fastest) group = take(sample, work.groups);
    const std::int64_t first = group * work.together;
    const std::int64_t end =
        first + work.together < g.channels ? first + work.together : g.channels;
    visit(sample, first, end, row, column);
  }
}

/// Matrix [matrices, 2, 3], in the type of sums.
template <class T>
static __global__ void warp_kernel(WarpGeometry g, WarpWork work, WarpImage<const T> image,
                                   const Wide<T>* matrix, WarpImage<T> out) {
  using Sum = Wide<T>;
  for_each_warped(g, work,
                  [&](std::int64_t b, std::int64_t first, std::int64_t end, std::int64_t row,
                      std::int64_t column) {
                    const WarpPoint<Sum> point(g, matrix + (g.matrices == 1 ? 0 : b * 6), row,
                                               column);
                    Sum weight[4];
                    const T* from[4];
                    DEEPLIGHT_UNROLL
                    for (int k = 0; k < 4; ++k) {
                      weight[k] = point.weight(k);
                      from[k] = image.data + b * image.sample + point.offset(image, k);
                    }
                    for (std::int64_t c = first; c < end; ++c) {
                      Sum sum = 0;
                      // A neighbour of weight 0 does not count, whatever stands there.
                      DEEPLIGHT_UNROLL
                      for (int k = 0; k < 4; ++k)
                        if (weight[k] != 0) sum += weight[k] * Sum(from[k][c * image.channel]);
                      out.data[out.at(b, c, row, column)] = T(sum);
                    }
                  });
}

/// Adds to `sums`, zero at first and laid out as grad_image, whole numbers of 2^-scale. Where a
/// gradient is not finite grad_image, zero at first, becomes NaN.
template <class T>
static __global__ void warp_scatter_kernel(WarpGeometry g, WarpWork work, WarpImage<const T> grad,
                                           const Wide<T>* matrix, const int* largest,
                                           WarpImage<T> grad_image, unsigned long long* sums) {
  using Sum = Wide<T>;
  const Sum unit = std::ldexp(Sum(1), fixed_point<Sum>(*largest, g.out_height * g.out_width));
  for_each_warped(g, work,
                  [&](std::int64_t b, std::int64_t first, std::int64_t end, std::int64_t row,
                      std::int64_t column) {
                    const WarpPoint<Sum> point(g, matrix + (g.matrices == 1 ? 0 : b * 6), row,
                                               column);
                    for (int k = 0; k < 4; ++k) {
                      const Sum weight = point.weight(k);
                      if (weight == 0) continue;
                      const std::int64_t at = b * grad_image.sample + point.offset(grad_image, k);
                      for (std::int64_t c = first; c < end; ++c) {
                        const Sum value = Sum(grad.data[grad.at(b, c, row, column)]);
                        const std::int64_t to = at + c * grad_image.channel;
                        add_fixed(weight * value, unit, sums + to, grad_image.data + to);
                      }
                    }
                  });
}

/// grad_image = sums * 2^-scale, but for its NaN; both have `count` elements.
template <class T>
static __global__ void warp_unscale_kernel(std::int64_t count, std::int64_t pixels,
                                           const int* largest, const unsigned long long* sums,
                                           T* grad_image) {
  using Sum = Wide<T>;
  const int scale = fixed_point<Sum>(*largest, pixels);
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < count;
       i += std::int64_t(gridDim.x) * blockDim.x)
    set_from_fixed<Sum>(sums[i], scale, grad_image + i);
}

/// partial [batch, parts, 6]: sums over the pixels of a part, in one order. A block for each sample
/// and part, of a power of two of threads.
template <class T>
static __global__ void warp_matrix_kernel(WarpGeometry g, std::int64_t parts,
                                          WarpImage<const T> image, const Wide<T>* matrix,
                                          WarpImage<const T> grad, double* partial) {
  using Sum = Wide<T>;
  const std::int64_t b = blockIdx.x / parts, part = blockIdx.x % parts;
  const std::int64_t pixels = g.out_height * g.out_width;
  double sum[6] = {0, 0, 0, 0, 0, 0};
  for (std::int64_t p = part * blockDim.x + threadIdx.x; p < pixels; p += parts * blockDim.x) {
    const std::int64_t row = p / g.out_width, column = p % g.out_width;
    const WarpPoint<Sum> point(g, matrix + (g.matrices == 1 ? 0 : b * 6), row, column);
    const Sum fx = point.x.fraction, fy = point.y.fraction;
    Sum by_x = 0, by_y = 0;
    for (std::int64_t c = 0; c < g.channels; ++c) {
      const T* plane = image.data + b * image.sample + c * image.channel;
      const Sum above = Sum(grad.data[grad.at(b, c, row, column)]);
      Sum value[4];
      DEEPLIGHT_UNROLL
      for (int k = 0; k < 4; ++k)
        value[k] = point.inside(k) != 0 ? Sum(plane[point.offset(image, k)]) : Sum(0);
      by_x += above * ((value[1] - value[0]) * (1 - fy) + (value[3] - value[2]) * fy);
      by_y += above * ((value[2] - value[0]) * (1 - fx) + (value[3] - value[1]) * fx);
    }
    const double x = double(by_x * point.x.slope), y = double(by_y * point.y.slope);
    const double right = double(column) - g.centre_x, down = double(row) - g.centre_y;
    sum[0] += x * right, sum[1] += x * down, sum[2] += x;
    sum[3] += y * right, sum[4] += y * down, sum[5] += y;
  }
  double* sums = block_memory_of<double>();  // [6, threads]
  DEEPLIGHT_UNROLL
  for (int k = 0; k < 6; ++k) sums[k * blockDim.x + threadIdx.x] = sum[k];
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x >= half) continue;
    for (int k = 0; k < 6; ++k)
      sums[k * blockDim.x + threadIdx.x] += sums[k * blockDim.x + threadIdx.x + half];
  }
  if (threadIdx.x == 0)
    for (int k = 0; k < 6; ++k) partial[(b * parts + part) * 6 + k] = sums[k * blockDim.x];
}

}  // namespace deeplight::kernels
