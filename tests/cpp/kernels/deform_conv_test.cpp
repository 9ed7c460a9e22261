#include "deeplight/kernels/deform_conv_cpu.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

using deeplight::kernels::DeformGeometry;

namespace {

DeformGeometry one_tap(std::int64_t height, std::int64_t width) {
  DeformGeometry g;
  g.channels = 1, g.height = height, g.width = width;
  g.kernel_h = g.kernel_w = 1;
  g.out_height = height, g.out_width = width;
  return g;
}

}  // namespace

TEST_CASE("a sampling point between pixels mixes its four neighbours") {
  const std::vector<double> image{1, 2, 3, 4};
  std::vector<double> offset(8, 0.0), columns(4);
  offset[0] = 0.25, offset[4] = 0.5;  // dy, dx of the first pixel
  deeplight::kernels::deform_columns<double>(one_tap(2, 2), image.data(), offset.data(), nullptr,
                                             columns.data());
  CHECK(columns[0] == doctest::Approx(0.75 * 1.5 + 0.25 * 3.5));
  CHECK(columns[3] == 4);
}

TEST_CASE("a point outside, or nowhere, samples zero and has no gradient") {
  const std::vector<double> image{1, 2, 3, 4};
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity(), -1e300, 1e300, 2.0, -1.0}) {
    std::vector<double> offset(8, 0.0), columns(4), grad(4, 1.0), grad_image(4, 0.0),
        grad_offset(8);
    offset[0] = bad;
    const auto g = one_tap(2, 2);
    deeplight::kernels::deform_columns<double>(g, image.data(), offset.data(), nullptr,
                                               columns.data());
    CHECK(columns[0] == 0);
    deeplight::kernels::deform_columns_backward<double>(g, image.data(), offset.data(), nullptr,
                                                        grad.data(), grad_image.data(),
                                                        grad_offset.data(), nullptr);
    CHECK(grad_image[0] == 0);
    CHECK(grad_offset[0] == 0);
  }
}

TEST_CASE("a one-pixel image is sampled inside its half-open neighbourhood") {
  const std::vector<float> image{5};
  std::vector<float> offset{0.5F, -0.5F}, columns(1);
  deeplight::kernels::deform_columns<float>(one_tap(1, 1), image.data(), offset.data(), nullptr,
                                            columns.data());
  CHECK(columns[0] == doctest::Approx(5 * 0.5 * 0.5));
}
