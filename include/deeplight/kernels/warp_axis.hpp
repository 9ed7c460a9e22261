// Sizes of an affine warp and one axis of its positions, shared by the CPU and CUDA kernels.
#pragma once

#include <cmath>
#include <cstdint>

#include "deeplight/kernels/host_device.hpp"

namespace deeplight::kernels {

/// What lies outside of the image: nothing, its nearest pixel, or its mirror image about the outer
/// edges of the border pixels or about their centres.
enum class WarpPadding { zeros, border, reflection_edges, reflection_centres };

struct WarpGeometry {
  std::int64_t batch = 0, channels = 0, height = 0, width = 0;
  std::int64_t out_height = 0, out_width = 0;
  std::int64_t matrices = 1;  ///< 1 or batch
  double centre_x = 0, centre_y = 0;
  double max_shift = 0;  ///< may be infinite
  WarpPadding padding = WarpPadding::border;
};

/// One axis of one position: neighbours, the fraction between them, whether they lie inside (1 or
/// 0), and how the position moves with the displacement.
template <class T>
struct WarpAxis {
  std::int64_t low = 0, high = 0;
  T fraction = 0, slope = 0, low_inside = 0, high_inside = 0;
};

/// A coordinate mirrored into the image; `slope` becomes -1 where the mirror turns it round.
template <class T>
DEEPLIGHT_HOST_DEVICE T warp_mirrored(T position, std::int64_t size, bool about_centres, T& slope) {
  const T start = about_centres ? T(0) : T(-0.5);
  const T span = static_cast<T>(about_centres ? size - 1 : size);
  slope = 0;
  if (!(span > 0)) return 0;
  const T distance = position - start, positive = distance < 0 ? -distance : distance;
  const T turns = std::floor(positive / span);
  const T rest = positive - turns * span;
  const bool back = turns - 2 * std::floor(turns / 2) > T(0.5);
  const T at = (back ? span - rest : rest) + start;
  // About edges, the outer half of a border pixel is that pixel.
  const T last = static_cast<T>(size - 1);
  if (at < 0) return 0;
  if (at > last) return last;
  slope = (distance < 0) != back ? T(-1) : T(1);
  return at;
}

/// Where output pixel `index`, displaced by at most `limit`, samples an axis of `size` pixels.
template <class T>
DEEPLIGHT_HOST_DEVICE WarpAxis<T> warp_axis(std::int64_t index, T displacement, T limit,
                                            WarpPadding padding, std::int64_t size) {
  WarpAxis<T> at;
  const bool clamped = displacement > limit || displacement < -limit;
  if (clamped) displacement = displacement > 0 ? limit : -limit;
  if (!std::isfinite(displacement)) return at;
  at.slope = clamped ? T(0) : T(1);
  T whole = std::floor(displacement);
  at.fraction = displacement - whole;
  if (padding == WarpPadding::reflection_edges || padding == WarpPadding::reflection_centres) {
    T turned = 1;
    const T moved = warp_mirrored(static_cast<T>(index) + displacement, size,
                                  padding == WarpPadding::reflection_centres, turned);
    whole = std::floor(moved) - static_cast<T>(index);
    at.fraction = moved - std::floor(moved);
    at.slope *= turned;
  }
  // Far outside everything is alike; the bound keeps the conversion to an integer defined.
  const T far = static_cast<T>(size + index + 2);
  whole = whole < -far ? -far : whole > far ? far : whole;
  const std::int64_t low = index + static_cast<std::int64_t>(whole), high = low + 1;
  const bool zeros = padding == WarpPadding::zeros;
  at.low_inside = !zeros || (low >= 0 && low < size) ? T(1) : T(0);
  at.high_inside = !zeros || (high >= 0 && high < size) ? T(1) : T(0);
  at.low = low < 0 ? 0 : low >= size ? size - 1 : low;
  at.high = high < 0 ? 0 : high >= size ? size - 1 : high;
  return at;
}

}  // namespace deeplight::kernels
