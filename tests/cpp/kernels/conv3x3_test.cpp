// 3x3 convolution, by F(4x4, 3x3) and to few channels, against plain loops, without torch.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "deeplight/kernels/conv3x3_table.hpp"
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
double plain_sum(const Conv3x3Geometry& g, const std::vector<float>& image,
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

struct Images {
  explicit Images(const Conv3x3Geometry& g)
      : pixels(g.batch * g.height * g.width),
        image(floats(pixels * g.in, 3)),
        weight(floats(g.out * g.in * 9, 4)),
        bias(floats(g.out, 5)),
        ours(static_cast<std::size_t>(pixels * g.out), NAN) {}

  double worst_error(const Conv3x3Geometry& g) const {
    double worst = 0;
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t o = 0; o < g.out; ++o) {
        const double exact = plain_sum(g, image, weight, bias[static_cast<std::size_t>(o)], p, o);
        const double error = std::abs(exact - ours[static_cast<std::size_t>(p * g.out + o)]);
        worst = error <= worst ? worst : error;
      }
    return worst;
  }

  std::int64_t pixels;
  std::vector<float> image, weight, bias, ours;
};

}  // namespace

TEST_CASE_TEMPLATE("winograd convolution equals plain loops", Arch, simd::Scalar, simd::Native) {
  // Sides of every remainder, blocks that end within a group, panels of one to four vectors.
  for (const Conv3x3Geometry g :
       {Conv3x3Geometry{2, 9, 14, 16, 48, 0.2F}, Conv3x3Geometry{1, 3, 7, 32, 80, 1.0F},
        Conv3x3Geometry{1, 20, 12, 16, 112, 0.0F}, Conv3x3Geometry{3, 1, 1, 48, 16, 0.5F}}) {
    Images images(g);
    std::vector<float> transformed(static_cast<std::size_t>(36 * g.in * g.out));
    const auto table = conv3x3_table<Arch>();
    table.transform_weight(g, images.weight.data(), transformed.data(), sequential());
    table.winograd(g, images.image.data(), transformed.data(), images.bias.data(),
                   images.ours.data(), sequential());
    CHECK(images.worst_error(g) < 2e-5);
  }
}

TEST_CASE_TEMPLATE("convolution to few channels equals plain loops", Arch, simd::Scalar,
                   simd::Native) {
  // Strips that end early, single rows, columns and pixels, vectors of taps that are not full.
  for (const Conv3x3Geometry g :
       {Conv3x3Geometry{2, 37, 14, 64, 1, 1.0F}, Conv3x3Geometry{1, 16, 33, 17, 3, 0.2F},
        Conv3x3Geometry{3, 1, 9, 40, 4, 0.0F}, Conv3x3Geometry{1, 18, 1, 1, 2, 0.5F},
        Conv3x3Geometry{2, 1, 1, 16, 1, 1.0F}}) {
    Images images(g);
    conv3x3_table<Arch>().narrow(g, images.image.data(), images.weight.data(), images.bias.data(),
                                 images.ours.data(), sequential());
    CHECK(images.worst_error(g) < 2e-5);
  }
}
