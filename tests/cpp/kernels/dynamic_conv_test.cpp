// Convolution with a kernel per sample against plain loops, without torch.
//
// The kernels in double alone: under sanitizers each type costs half a minute to compile.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "deeplight/kernels/dynamic_conv_cpu.hpp"
#include "kernels/plain_images.hpp"

using namespace deeplight;
using namespace deeplight::kernels;
using deeplight::plain::Numbers;
using deeplight::plain::numbers;
using deeplight::plain::pixel;

TEST_CASE_TEMPLATE("dynamic convolution equals plain loops", Arch, simd::Scalar, simd::Native) {
  const DynamicGeometry g{2, 3, 5, 18, 35, 3, 5, 1, 2};
  const auto image = numbers(g.batch * g.channels * g.height * g.width, 6);
  const auto kernel = numbers(g.batch * g.out_channels * g.channels * g.taps(), 7);
  const std::int64_t out = g.out_height() * g.out_width();
  Numbers ours(static_cast<std::size_t>(g.batch * g.out_channels * out));
  dynamic_detail::forward<double, Arch>(g, image.data(), kernel.data(), false, ours.data(),
                                        sequential());
  double worst = 0;
  for (std::int64_t i = 0; i < g.batch * g.out_channels; ++i)
    for (std::int64_t p = 0; p < out; ++p) {
      double sum = 0;
      for (std::int64_t c = 0; c < g.channels; ++c)
        for (std::int64_t t = 0; t < g.taps(); ++t)
          sum += kernel[static_cast<std::size_t>((i * g.channels + c) * g.taps() + t)] *
                 pixel(image, i / g.out_channels * g.channels + c, g.height, g.width,
                       p / g.out_width() - g.pad_h + t / g.kernel_w,
                       p % g.out_width() - g.pad_w + t % g.kernel_w);
      worst = std::max(worst, std::abs(sum - ours[static_cast<std::size_t>(i * out + p)]));
    }
  CHECK(worst < 1e-12);
}
