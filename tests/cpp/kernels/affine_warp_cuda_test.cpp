// The CUDA kernels of affine warps, executed on the CPU, against the definition.
#include <doctest/doctest.h>

#include "kernels/cuda_on_cpu.hpp"
#include "kernels/plain_images.hpp"
// After cuda_on_cpu.hpp.
#include "deeplight/kernels/affine_warp.cuh"

namespace on_cpu = deeplight::cuda_on_cpu;
using namespace deeplight::kernels;
using deeplight::plain::Numbers;
using deeplight::plain::numbers;

namespace {

// One axis by its definition: the position, then the padding's rule, then two neighbours.
double mirrored(double at, std::int64_t size, bool centres) {
  const double low = centres ? 0 : -0.5, high = double(size - 1) - low;
  if (high <= low) return 0;
  while (at < low || at > high) at = at < low ? 2 * low - at : 2 * high - at;
  return std::clamp(at, 0.0, double(size - 1));
}

struct Warp {
  WarpGeometry g;
  Numbers image, matrix;

  double value(std::int64_t b, std::int64_t c, std::int64_t y, std::int64_t x) const {
    if (g.padding == WarpPadding::zeros) {
      if (y < 0 || y >= g.height || x < 0 || x >= g.width) return 0;
    }
    y = std::clamp<std::int64_t>(y, 0, g.height - 1),
    x = std::clamp<std::int64_t>(x, 0, g.width - 1);
    return image[((b * g.channels + c) * g.height + y) * g.width + x];
  }

  Numbers forward() const {
    Numbers out;
    for (std::int64_t b = 0; b < g.batch; ++b)
      for (std::int64_t c = 0; c < g.channels; ++c)
        for (std::int64_t r = 0; r < g.out_height; ++r)
          for (std::int64_t s = 0; s < g.out_width; ++s) {
            const double* m = matrix.data() + (g.matrices == 1 ? 0 : b * 6);
            const double right = double(s) - g.centre_x, down = double(r) - g.centre_y;
            const auto moved = [&](const double* row) {
              return std::clamp(row[0] * right + row[1] * down + row[2], -g.max_shift, g.max_shift);
            };
            double x = double(s) + moved(m), y = double(r) + moved(m + 3);
            const bool centres = g.padding == WarpPadding::reflection_centres;
            if (centres || g.padding == WarpPadding::reflection_edges)
              x = mirrored(x, g.width, centres), y = mirrored(y, g.height, centres);
            const double x0 = std::floor(x), y0 = std::floor(y), fx = x - x0, fy = y - y0;
            const auto at = [&](int j, int i) {
              return value(b, c, std::int64_t(y0) + j, std::int64_t(x0) + i);
            };
            out.push_back((1 - fy) * ((1 - fx) * at(0, 0) + fx * at(0, 1)) +
                          fy * ((1 - fx) * at(1, 0) + fx * at(1, 1)));
          }
    return out;
  }
};

Warp make(WarpPadding padding, std::int64_t matrices, double reach) {
  Warp made;
  made.g = {2, 10, 7, 9, 8, 6, matrices, 2.5, 3.25, reach, padding};
  made.image = numbers(2 * 10 * 7 * 9, 1);
  made.matrix = numbers(matrices * 6, 2);
  for (double& value : made.matrix) value *= 3;
  return made;
}

template <class T>
WarpImage<T> view(T* data, const WarpGeometry& g, std::int64_t height, std::int64_t width,
                  bool channels_last) {
  const std::int64_t sample = g.channels * height * width;
  if (channels_last) return {data, sample, 1, width * g.channels, g.channels};
  return {data, sample, height * width, width, 1};
}

// Elements of [B, C, H, W], in the other layout.
template <class T>
std::vector<T> laid_out(const std::vector<T>& planes, const WarpGeometry& g, bool channels_last,
                        bool back = false) {
  if (!channels_last) return planes;
  std::vector<T> turned(planes.size());
  const std::size_t size = planes.size() / g.batch / g.channels;
  for (std::size_t i = 0; i < planes.size(); ++i) {
    const std::size_t b = i / size / g.channels, c = i / size % g.channels, p = i % size;
    const std::size_t last = (b * size + p) * g.channels + c;
    if (back)
      turned[i] = planes[last];
    else
      turned[last] = planes[i];
  }
  return turned;
}

template <class T>
std::vector<T> forward(const Warp& made, bool channels_last, on_cpu::Order order) {
  const WarpGeometry& g = made.g;
  const std::vector<Wide<T>> matrix(made.matrix.begin(), made.matrix.end());
  const auto image =
      laid_out(std::vector<T>(made.image.begin(), made.image.end()), g, channels_last);
  std::vector<T> out(g.batch * g.channels * g.out_height * g.out_width, T(-7));
  on_cpu::launch({3, 1, 1}, {32, 1, 1}, 0, order, [&] {
    warp_kernel<T>(g, WarpWork(g, channels_last),
                   view(image.data(), g, g.height, g.width, channels_last), matrix.data(),
                   view(out.data(), g, g.out_height, g.out_width, channels_last));
  });
  return laid_out(out, g, channels_last, true);
}

struct Gradients {
  Numbers image, matrix;
};

template <class T = double>
Gradients backward(const Warp& made, const Numbers& above, bool channels_last,
                   on_cpu::Order order) {
  const WarpGeometry& g = made.g;
  const auto as_type = [](const Numbers& values) {
    std::vector<T> typed;
    for (const double value : values) typed.push_back(T(Wide<T>(value)));
    return typed;
  };
  const auto image = laid_out(as_type(made.image), g, channels_last);
  const auto grad = laid_out(as_type(above), g, channels_last);
  const std::vector<Wide<T>> matrix(made.matrix.begin(), made.matrix.end());
  const auto from = view(grad.data(), g, g.out_height, g.out_width, channels_last);
  const auto count = std::int64_t(image.size()), pixels = g.out_height * g.out_width;
  std::vector<T> grad_image(image.size(), T(0));
  std::vector<unsigned long long> sums(image.size());
  int largest = std::numeric_limits<int>::min();
  on_cpu::launch({3, 1, 1}, {32, 1, 1}, 32 * sizeof(int), order, [&] {
    largest_exponent_kernel<T>(std::int64_t(grad.size()), grad.data(), &largest);
  });
  on_cpu::launch({3, 1, 1}, {32, 1, 1}, 0, order, [&] {
    warp_scatter_kernel<T>(g, WarpWork(g, channels_last), from, matrix.data(), &largest,
                           view(grad_image.data(), g, g.height, g.width, channels_last),
                           sums.data());
  });
  on_cpu::launch({3, 1, 1}, {32, 1, 1}, 0, order, [&] {
    warp_unscale_kernel<T>(count, pixels, &largest, sums.data(), grad_image.data());
  });
  const std::int64_t parts = 2;
  Numbers partial(g.batch * parts * 6, -7), grad_matrix(made.matrix.size(), -7);
  on_cpu::launch(
      {unsigned(g.batch * parts), 1, 1}, {32, 1, 1}, 6 * 32 * sizeof(double), order, [&] {
        warp_matrix_kernel<T>(g, parts, view(image.data(), g, g.height, g.width, channels_last),
                              matrix.data(), from, partial.data());
      });
  on_cpu::launch({1, 1, 1}, {32, 1, 1}, 0, order, [&] {
    fold_kernel<double, double>(g.matrices * 6, 6, g.batch * parts / g.matrices, partial.data(),
                                grad_matrix.data());
  });
  const auto planes = laid_out(grad_image, g, channels_last, true);
  return {Numbers(planes.begin(), planes.end()), grad_matrix};
}

constexpr WarpPadding paddings[] = {WarpPadding::zeros, WarpPadding::border,
                                    WarpPadding::reflection_edges, WarpPadding::reflection_centres};

}  // namespace

TEST_CASE("CUDA on the CPU: a warp is its definition, in both layouts and any order of threads") {
  for (const auto padding : paddings)
    for (const auto order : on_cpu::orders)
      for (const bool channels_last : {false, true}) {
        const Warp made =
            make(padding, channels_last ? 1 : 2, padding == WarpPadding::border ? 4.5 : 1e30);
        const auto expected = made.forward(), ours = forward<double>(made, channels_last, order);
        const auto single = forward<float>(made, channels_last, order);
        for (std::size_t i = 0; i < ours.size(); ++i) {
          REQUIRE(ours[i] == doctest::Approx(expected[i]).epsilon(1e-11).scale(1));
          REQUIRE(double(single[i]) == doctest::Approx(expected[i]).epsilon(2e-5).scale(1));
        }
      }
}

TEST_CASE("CUDA on the CPU: gradients of a warp are finite differences, the same in any order") {
  for (const auto padding : paddings) {
    Warp made = make(padding, 2, padding == WarpPadding::border ? 4.5 : 1e30);
    const auto grad = numbers(std::int64_t(made.forward().size()), 3);
    const auto scalar = [&] {
      const auto out = made.forward();
      return std::inner_product(out.begin(), out.end(), grad.begin(), 0.0);
    };
    const auto found = backward(made, grad, false, on_cpu::Order::forward);
    const auto check = [&](Numbers& values, const Numbers& analytic, std::size_t stride) {
      for (std::size_t i = 0; i < values.size(); i += stride) {
        const double before = values[i], step = 1e-6;
        values[i] = before + step;
        const double over = scalar();
        values[i] = before - step;
        const double under = scalar();
        values[i] = before;
        CHECK(analytic[i] == doctest::Approx((over - under) / (2 * step)).epsilon(1e-5).scale(1));
      }
    };
    check(made.image, found.image, 29);
    check(made.matrix, found.matrix, 1);
    for (const auto order : on_cpu::orders) {
      const auto again = backward(made, grad, false, order);
      CHECK(again.image == found.image);  // bit for bit
      const auto last = backward(made, grad, true, order);
      CHECK(last.image == found.image);
      for (std::size_t i = 0; i < found.matrix.size(); ++i) {
        CHECK(again.matrix[i] == found.matrix[i]);
        CHECK(last.matrix[i] == doctest::Approx(found.matrix[i]).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("CUDA on the CPU: gradients of a warp in float32 and bfloat16, large and small") {
  Warp made = make(WarpPadding::border, 1, 1e30);
  for (double& value : made.matrix) value = double(float(value));
  for (double& value : made.image) value = double(float(on_cpu::Brief(float(value))));
  for (const double size : {1e-30, 1.0, 1e30}) {
    auto grad = numbers(std::int64_t(made.forward().size()), 6);
    for (double& value : grad) value = double(float(on_cpu::Brief(float(value * size))));
    const auto exact = backward<double>(made, grad, false, on_cpu::Order::forward);
    const auto single = backward<float>(made, grad, true, on_cpu::Order::shuffled);
    const auto brief = backward<on_cpu::Brief>(made, grad, false, on_cpu::Order::backward);
    for (std::size_t i = 0; i < exact.image.size(); ++i) {
      REQUIRE(single.image[i] / size ==
              doctest::Approx(exact.image[i] / size).epsilon(1e-5).scale(1));
      REQUIRE(brief.image[i] / size ==
              doctest::Approx(exact.image[i] / size).epsilon(1.0 / 256).scale(1e-2));
    }
    for (std::size_t i = 0; i < 6; ++i)
      CHECK(single.matrix[i] / size ==
            doctest::Approx(exact.matrix[i] / size).epsilon(1e-4).scale(10));
  }
}

TEST_CASE("CUDA on the CPU: displacements and gradients that are no numbers stay where they are") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Warp made = make(WarpPadding::border, 2, 1e30);
  std::fill(made.matrix.begin(), made.matrix.begin() + 6, 0.0);
  made.matrix[6] = nan;
  const auto out = forward<double>(made, false, on_cpu::Order::forward);
  for (std::size_t i = out.size() / 2; i < out.size(); ++i) REQUIRE(out[i] == 0);
  Numbers grad(out.size(), 0.5);
  grad[0] = nan;  // sample 0 is shifted by nothing: it belongs to the first pixel alone
  const auto found = backward(made, grad, false, on_cpu::Order::forward);
  CHECK(std::isnan(found.image[0]));
  for (std::size_t i = 1; i < found.image.size(); ++i) REQUIRE(std::isfinite(found.image[i]));
  for (std::size_t i = 6; i < 12; ++i) CHECK(found.matrix[i] == 0);
}

TEST_CASE("CUDA on the CPU: the fixed point holds the smallest and the largest gradients") {
  for (const int exponent : {-1000, -140, -60, 0, 60, 127}) {
    const int scale = fixed_point<float>(exponent, 512 * 512);
    CHECK(std::isfinite(std::ldexp(1.0F, scale)));
    CHECK(std::ldexp(1.0F, scale) > 0);
    if (exponent > -60) CHECK(exponent + scale + 18 == 61);
  }
}

TEST_CASE("CUDA on the CPU: rows more than 2^31 elements apart") {
  const std::int64_t row = (std::int64_t(1) << 31) + 64;
  const on_cpu::Vast<float> image(2 * row);
  image.data()[row + 1] = 8;
  const float matrix[6] = {0, 0, 0.5F, 0, 0, 0.25F};
  const WarpGeometry g{1, 1, 2, 2, 1, 1, 1, 0, 0, 4, WarpPadding::zeros};
  float out = -7;
  on_cpu::launch({1, 1, 1}, {1, 1, 1}, 0, on_cpu::Order::forward, [&] {
    warp_kernel<float>(g, WarpWork(g, false), {image.data(), 2 * row, 2 * row, row, 1}, matrix,
                       {&out, 1, 1, 1, 1});
  });
  CHECK(out == 1);
}
