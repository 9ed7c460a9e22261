// Depthwise convolution and its gradient of the weights against plain loops, without torch.
//
// The kernels in double alone: under sanitizers each type costs half a minute to compile.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "deeplight/kernels/depthwise_conv_cpu.hpp"
#include "kernels/plain_images.hpp"

using namespace deeplight;
using namespace deeplight::kernels;
using deeplight::plain::Numbers;
using deeplight::plain::numbers;
using deeplight::plain::pixel;

namespace {

template <class Arch>
void depthwise_equals_loops(const DepthwiseGeometry& g, bool channels_last) {
  const std::int64_t area = g.height * g.width, out = g.out_height() * g.out_width();
  const auto image = numbers(g.batch * g.channels * area, 1);
  const auto weight = numbers(g.channels * g.kernel.taps(), 2), bias = numbers(g.channels, 3);
  Numbers laid(image.size()), result(static_cast<std::size_t>(g.batch * g.channels * out));
  const auto view = [&](auto* data, std::int64_t height, std::int64_t width) {
    using T = std::remove_pointer_t<decltype(data)>;
    const std::int64_t plane = height * width;
    if (channels_last)
      return ImageView<T>{data, g.channels * plane, 1, g.channels * width, g.channels};
    return ImageView<T>{data, g.channels * plane, plane, width, 1};
  };
  const auto from = view(static_cast<const double*>(laid.data()), g.height, g.width);
  for (std::int64_t i = 0; i < g.batch * g.channels; ++i)
    for (std::int64_t p = 0; p < area; ++p)
      laid[static_cast<std::size_t>(i / g.channels * from.sample + i % g.channels * from.channel +
                                    p / g.width * from.row + p % g.width * from.column)] =
          image[static_cast<std::size_t>(i * area + p)];
  const auto to = view(result.data(), g.out_height(), g.out_width());
  depthwise_detail::any_forward<double, Arch>(g, from, weight.data(), false, bias.data(), to,
                                              sequential());
  double worst = 0;
  for (std::int64_t i = 0; i < g.batch * g.channels; ++i)
    for (std::int64_t p = 0; p < out; ++p) {
      const std::int64_t c = i % g.channels, y = p / g.out_width(), x = p % g.out_width();
      double sum = bias[static_cast<std::size_t>(c)];
      for (std::int64_t t = 0; t < g.kernel.taps(); ++t)
        sum += weight[static_cast<std::size_t>(c * g.kernel.taps() + t)] *
               pixel(image, i, g.height, g.width,
                     y - g.pad_h + t / g.kernel.columns * g.kernel.dilation_h,
                     x - g.pad_w + t % g.kernel.columns * g.kernel.dilation_w);
      const double ours =
          to.data[i / g.channels * to.sample + c * to.channel + y * to.row + x * to.column];
      worst = std::max(worst, std::abs(ours - sum));
    }
  CHECK(worst < 1e-12);
}

}  // namespace

TEST_CASE_TEMPLATE("depthwise convolution equals plain loops", Arch, simd::Scalar, simd::Native) {
  for (const bool channels_last : {false, true}) {
    depthwise_equals_loops<Arch>({2, 9, 37, 67, {5, 5, 1, 1}, 2, 2}, channels_last);
    depthwise_equals_loops<Arch>({1, 17, 20, 23, {7, 7, 3, 3}, 9, 9}, channels_last);
    depthwise_equals_loops<Arch>({1, 3, 1, 1, {23, 4, 1, 2}, 13, 7}, channels_last);
    depthwise_equals_loops<Arch>({1, 2, 9, 70, {2, 1, 2, 1}, -1, -3}, channels_last);
  }
}

TEST_CASE("a tile reads nothing beyond its rows") {
  // Under AddressSanitizer the vectors' ends prove themselves.
  depthwise_equals_loops<simd::Native>({1, 1, 65, 513, {3, 3, 1, 1}, 1, 1}, false);
}

TEST_CASE("what is written past the cache is what is written into it") {
  // Twice 2 MiB are streamed, each alone is not; rows of 70 are no whole lines and never are.
  for (const std::int64_t width : {512, 70}) {
    const DepthwiseGeometry both{2, 1, 512, width, {3, 3, 1, 1}, 1, 1};
    DepthwiseGeometry one = both;
    one.batch = 1;
    const std::int64_t area = 512 * width;
    const auto image = numbers(2 * area, 1), weight = numbers(9, 2);
    Scratch<double> together(2 * area), alone(2 * area);
    depthwise_detail::any_forward<double, simd::Native>(
        both, {image.data(), area, area, width, 1}, weight.data(), false, nullptr,
        {together.data(), area, area, width, 1}, sequential());
    for (std::int64_t b = 0; b < 2; ++b)
      depthwise_detail::any_forward<double, simd::Native>(
          one, {image.data() + b * area, area, area, width, 1}, weight.data(), false, nullptr,
          {alone.data() + b * area, area, area, width, 1}, sequential());
    CHECK(std::equal(together.data(), together.data() + 2 * area, alone.data()));
  }
}

TEST_CASE_TEMPLATE("the gradient of the weights is the derivative of the sum", Arch, simd::Scalar,
                   simd::Native) {
  const DepthwiseGeometry g{2, 3, 70, 19, {7, 5, 2, 3}, 5, 4};
  const std::int64_t out = g.out_height() * g.out_width(), area = g.height * g.width;
  const auto image = numbers(g.batch * g.channels * area, 4);
  const auto grad = numbers(g.batch * g.channels * out, 5);
  Numbers ours(static_cast<std::size_t>(g.channels * g.kernel.taps())), bias(3);
  depthwise_detail::any_weight_gradient<double, Arch>(
      g, {image.data(), g.channels * area, area, g.width, 1},
      {grad.data(), g.channels * out, out, g.out_width(), 1}, ours.data(), bias.data(),
      sequential());
  double worst = 0;
  for (std::int64_t c = 0; c < g.channels; ++c)
    for (std::int64_t t = 0; t < g.kernel.taps(); ++t) {
      double sum = 0;
      for (std::int64_t b = 0; b < g.batch; ++b)
        for (std::int64_t p = 0; p < out; ++p)
          sum += grad[static_cast<std::size_t>((b * g.channels + c) * out + p)] *
                 pixel(image, b * g.channels + c, g.height, g.width,
                       p / g.out_width() - g.pad_h + t / g.kernel.columns * g.kernel.dilation_h,
                       p % g.out_width() - g.pad_w + t % g.kernel.columns * g.kernel.dilation_w);
      worst =
          std::max(worst, std::abs(sum - ours[static_cast<std::size_t>(c * g.kernel.taps() + t)]));
    }
  CHECK(worst < 1e-11);
}
