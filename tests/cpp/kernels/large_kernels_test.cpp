// Depthwise, dynamic and large selective kernels against plain loops, without torch.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "deeplight/kernels/depthwise_conv_cpu.hpp"
#include "deeplight/kernels/dynamic_conv_cpu.hpp"
#include "deeplight/kernels/large_selective_kernel_table.hpp"

using namespace deeplight;
using namespace deeplight::kernels;

namespace {

using Numbers = std::vector<double>;

Numbers numbers(std::int64_t count, unsigned seed) {
  Numbers values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = seed / 4294967296.0 - 0.5;
  }
  return values;
}

double pixel(const Numbers& image, std::int64_t plane, std::int64_t height, std::int64_t width,
             std::int64_t y, std::int64_t x) {
  if (y < 0 || y >= height || x < 0 || x >= width) return 0;
  return image[static_cast<std::size_t>((plane * height + y) * width + x)];
}

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
  const auto& table = depthwise_table<Arch>().float64;
  table.forward(g, from, weight.data(), false, bias.data(), to, sequential());
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

TEST_CASE_TEMPLATE("the gradient of the weights is the derivative of the sum", Arch, simd::Scalar,
                   simd::Native) {
  const DepthwiseGeometry g{2, 3, 70, 19, {7, 5, 2, 3}, 5, 4};
  const std::int64_t out = g.out_height() * g.out_width(), area = g.height * g.width;
  const auto image = numbers(g.batch * g.channels * area, 4);
  const auto grad = numbers(g.batch * g.channels * out, 5);
  Numbers ours(static_cast<std::size_t>(g.channels * g.kernel.taps())), bias(3);
  depthwise_table<Arch>().float64.weight_gradient(
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

TEST_CASE_TEMPLATE("dynamic convolution equals plain loops", Arch, simd::Scalar, simd::Native) {
  const DynamicGeometry g{2, 3, 5, 18, 35, 3, 5, 1, 2};
  const auto image = numbers(g.batch * g.channels * g.height * g.width, 6);
  const auto kernel = numbers(g.batch * g.out_channels * g.channels * g.taps(), 7);
  const std::int64_t out = g.out_height() * g.out_width();
  Numbers ours(static_cast<std::size_t>(g.batch * g.out_channels * out));
  dynamic_table<Arch>().float64.forward(g, image.data(), kernel.data(), false, ours.data(),
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

TEST_CASE_TEMPLATE("gradients of the large selective kernel are its differences", Arch,
                   simd::Scalar, simd::Native) {
  const SelectiveGeometry g{1, 3, 2, 2, 35, 9, {3, 3, 1, 1}, {3, 3, 3, 3}, {3, 3, 1, 1}, 0};
  const std::int64_t sizes[] = {g.channels * 9,
                                g.channels,
                                g.channels * 9,
                                g.channels,
                                g.branch * 3,
                                g.branch,
                                g.branch * 3,
                                g.branch,
                                4 * 9,
                                2,
                                g.out_channels * g.branch,
                                g.out_channels};
  std::vector<Numbers> weights, grads;
  for (unsigned i = 0; i < 12; ++i) {
    weights.push_back(numbers(sizes[i], 10 + i));
    grads.push_back(Numbers(weights.back().size()));
  }
  auto input = numbers(g.channels * g.area(), 30);
  const auto multiplier = numbers(g.out_channels * g.area(), 31);
  const auto grad = numbers(g.out_channels * g.area(), 32);
  Numbers out(multiplier.size()), input_grad(input.size()), multiplier_grad(multiplier.size());
  const auto& table = large_selective_kernel_table<Arch>().float64;
  const auto pointers = [](auto& w) {
    return std::array{w[0].data(), w[1].data(), w[2].data(),  w[3].data(),
                      w[4].data(), w[5].data(), w[6].data(),  w[7].data(),
                      w[8].data(), w[9].data(), w[10].data(), w[11].data()};
  };
  const auto value = [&] {
    const auto p = pointers(weights);
    table.forward(g, {p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11]},
                  input.data(), multiplier.data(), out.data(), sequential());
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * grad[i];
    return sum;
  };
  const auto p = pointers(weights);
  const auto q = pointers(grads);
  table.backward(
      g, {p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11]}, input.data(),
      multiplier.data(), grad.data(), input_grad.data(), multiplier_grad.data(),
      {q[0], q[1], q[2], q[3], q[4], q[5], q[6], q[7], q[8], q[9], q[10], q[11]}, sequential());
  const auto difference = [&](double& at) {
    const double kept = at, step = 1e-6;
    at = kept + step;
    const double above = value();
    at = kept - step;
    const double below = value();
    at = kept;
    return (above - below) / (2 * step);
  };
  for (std::size_t w = 0; w < 12; ++w)
    for (const std::size_t i : {std::size_t{0}, weights[w].size() - 1})
      CHECK(difference(weights[w][i]) == doctest::Approx(grads[w][i]).epsilon(1e-5));
  for (const std::size_t i : {std::size_t{0}, std::size_t{100}, input.size() - 1})
    CHECK(difference(input[i]) == doctest::Approx(input_grad[i]).epsilon(1e-5));
}
