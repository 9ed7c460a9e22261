// 3x3 convolution by F(4x4, 3x3) against plain loops, without torch.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "deeplight/kernels/winograd_conv_cpu.hpp"
#include "kernels/plain_images.hpp"

using namespace deeplight;
using namespace deeplight::kernels;
using deeplight::plain::numbers;

namespace {

std::vector<float> floats(std::int64_t count, unsigned seed) {
  const auto values = numbers(count, seed);
  return {values.begin(), values.end()};
}

/// One output in double precision.
double plain_sum(const WinogradGeometry& g, const std::vector<float>& image,
                 const std::vector<float>& weight, float bias, std::int64_t pixel,
                 std::int64_t output) {
  const std::int64_t x = pixel % g.width, y = pixel / g.width % g.height;
  double sum = bias;
  for (std::int64_t t = 0; t < 9; ++t) {
    const std::int64_t row = y + t / 3 - 1, column = x + t % 3 - 1;
    if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
    const std::int64_t from = pixel + (row - y) * g.width + column - x;
    for (std::int64_t c = 0; c < g.in; ++c)
      sum += static_cast<double>(image[static_cast<std::size_t>(from * g.in + c)]) *
             weight[static_cast<std::size_t>((output * g.in + c) * 9 + t)];
  }
  return sum < 0 ? g.slope * sum : sum;
}

}  // namespace

TEST_CASE_TEMPLATE("winograd convolution equals plain loops", Arch, simd::Scalar, simd::Native) {
  // Sides of every remainder, blocks that end within a group, panels of one to four vectors.
  for (const WinogradGeometry g :
       {WinogradGeometry{2, 9, 14, 16, 48, 0.2F}, WinogradGeometry{1, 3, 7, 32, 80, 1.0F},
        WinogradGeometry{1, 20, 12, 16, 112, 0.0F}, WinogradGeometry{3, 1, 1, 48, 16, 0.5F}}) {
    const std::int64_t pixels = g.batch * g.height * g.width;
    const auto image = floats(pixels * g.in, 3), weight = floats(g.out * g.in * 9, 4);
    const auto bias = floats(g.out, 5);
    std::vector<float> transformed(static_cast<std::size_t>(36 * g.in * g.out));
    std::vector<float> ours(static_cast<std::size_t>(pixels * g.out), NAN);
    const auto table = winograd_table<Arch>();
    table.transform_weight(g, weight.data(), transformed.data(), sequential());
    table.forward(g, image.data(), transformed.data(), bias.data(), ours.data(), sequential());
    double worst = 0;
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t o = 0; o < g.out; ++o) {
        const double exact = plain_sum(g, image, weight, bias[static_cast<std::size_t>(o)], p, o);
        const double error = std::abs(exact - ours[static_cast<std::size_t>(p * g.out + o)]);
        worst = error <= worst ? worst : error;
      }
    CHECK(worst < 2e-5);
  }
}
