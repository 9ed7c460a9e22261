// The CUDA kernels of depthwise and dynamic convolution, executed on the CPU, against plain loops.
#include <doctest/doctest.h>

#include "kernels/cuda_on_cpu.hpp"
#include "kernels/plain_images.hpp"
// After cuda_on_cpu.hpp.
#include "deeplight/kernels/plane_convolution.cuh"
#include "deeplight/kernels/plane_correlation.cuh"

namespace on_cpu = deeplight::cuda_on_cpu;
using namespace deeplight::kernels;
using deeplight::plain::Numbers;
using deeplight::plain::numbers;
using deeplight::plain::pixel;

namespace {

// Items [groups] of one sample; kernels [groups, outputs, inputs, kh, kw].
struct Case {
  std::int64_t batch, groups;
  int inputs, outputs;
  std::int64_t height, width;
  int kernel_h, kernel_w, dilation_h, dilation_w;
  std::int64_t pad_h, pad_w;

  std::int64_t out_height() const { return height + 2 * pad_h - dilation_h * (kernel_h - 1); }
  std::int64_t out_width() const { return width + 2 * pad_w - dilation_w * (kernel_w - 1); }
  std::int64_t positions() const { return out_height() * out_width(); }
  std::int64_t image_size() const { return batch * groups * inputs * height * width; }
  std::int64_t kernel_size() const { return groups * outputs * inputs * kernel_h * kernel_w; }
  std::int64_t out_size() const { return batch * groups * outputs * positions(); }

  template <class Visit>
  void products(const Visit& visit) const {  // (image plane, y, x, kernel element, out element)
    for (std::int64_t item = 0; item < batch * groups; ++item)
      for (int o = 0; o < outputs; ++o)
        for (int i = 0; i < inputs; ++i)
          for (int t = 0; t < kernel_h * kernel_w; ++t)
            for (std::int64_t p = 0; p < positions(); ++p)
              visit(item * inputs + i,
                    p / out_width() - pad_h + std::int64_t(t / kernel_w) * dilation_h,
                    p % out_width() - pad_w + std::int64_t(t % kernel_w) * dilation_w,
                    ((item % groups * outputs + o) * inputs + i) * kernel_h * kernel_w + t,
                    (item * outputs + o) * positions() + p);
  }

  Numbers forward(const Numbers& image, const Numbers& kernel) const {
    Numbers out(out_size());
    products([&](auto plane, auto y, auto x, auto k, auto to) {
      out[to] += kernel[k] * pixel(image, plane, height, width, y, x);
    });
    return out;
  }

  Numbers image_gradient(const Numbers& grad, const Numbers& kernel) const {
    Numbers found(image_size());
    products([&](auto plane, auto y, auto x, auto k, auto from) {
      if (y >= 0 && y < height && x >= 0 && x < width)
        found[(plane * height + y) * width + x] += kernel[k] * grad[from];
    });
    return found;
  }

  Numbers kernel_gradient(const Numbers& image, const Numbers& grad) const {
    Numbers found(kernel_size());
    products([&](auto plane, auto y, auto x, auto k, auto from) {
      found[k] += grad[from] * pixel(image, plane, height, width, y, x);
    });
    return found;
  }

  PlaneConvolution convolution(bool turned) const {
    PlaneConvolution g;
    g.items = batch * groups, g.kernels = groups;
    g.inputs = turned ? outputs : inputs, g.outputs = turned ? inputs : outputs;
    g.height = turned ? out_height() : height, g.width = turned ? out_width() : width;
    g.out_height = turned ? height : out_height(), g.out_width = turned ? width : out_width();
    g.kernel_h = kernel_h, g.kernel_w = kernel_w;
    g.dilation_h = dilation_h, g.dilation_w = dilation_w;
    g.pad_h = turned ? dilation_h * (kernel_h - 1) - pad_h : pad_h;
    g.pad_w = turned ? dilation_w * (kernel_w - 1) - pad_w : pad_w;
    g.turned = turned;
    return g;
  }
};

const Case cases[] = {
    {2, 3, 1, 1, 30, 70, 7, 7, 3, 3, 9, 9},     // as in the large selective kernel
    {1, 2, 1, 1, 11, 9, 23, 23, 1, 1, 11, 11},  // larger than the image
    {1, 2, 1, 1, 53, 67, 5, 5, 1, 1, 2, 2},     //
    {2, 1, 1, 1, 13, 17, 3, 9, 2, 5, 0, 20},    //
    {1, 1, 1, 1, 4, 5, 1, 1, 8, 1, 3, 2},       // more padding than kernel
    {1, 2, 3, 5, 20, 35, 3, 5, 1, 1, 1, 2},     // dynamic
    {1, 3, 2, 2, 9, 66, 7, 7, 1, 1, 3, 3},      // dynamic, as in the selection
};

template <class T>
std::vector<T> as(const Numbers& values) {
  return {values.begin(), values.end()};
}

// What bindings/torch/plane_convolution.cuh launches.
template <class T, int together>
std::vector<T> convolve(const PlaneConvolution& g, const std::vector<T>& image,
                        const std::vector<T>& kernel, const std::vector<T>& bias,
                        on_cpu::Order order) {
  std::vector<T> out(g.items * g.outputs * g.out_height * g.out_width, T(-7));
  on_cpu::launch({2, 1, 1}, {64, unsigned(g.strips()), 1}, g.block_size(together) * sizeof(Wide<T>),
                 order, [&] {
                   plane_convolution_kernel<T, together>(g, image.data(), kernel.data(),
                                                         bias.empty() ? nullptr : bias.data(),
                                                         out.data());
                 });
  return out;
}

template <class T>
std::vector<T> correlate(const Case& made, const std::vector<T>& image, const std::vector<T>& grad,
                         std::int64_t parts, on_cpu::Order order) {
  PlaneCorrelation g;
  g.batch = made.batch, g.groups = made.groups, g.inputs = made.inputs, g.outputs = made.outputs;
  g.height = made.height, g.width = made.width;
  g.out_height = made.out_height(), g.out_width = made.out_width();
  g.kernel_h = made.kernel_h, g.kernel_w = made.kernel_w;
  g.dilation_h = made.dilation_h, g.dilation_w = made.dilation_w;
  g.pad_h = made.pad_h, g.pad_w = made.pad_w, g.parts = parts;
  std::vector<Wide<T>> partial(g.pairs() * parts * g.taps(), Wide<T>(-7));
  on_cpu::launch({unsigned(g.pairs() * parts), 1, 1}, {unsigned(g.threads()), 1, 1},
                 g.block_size() * sizeof(Wide<T>), order, [&] {
                   plane_correlation_kernel<T>(g, image.data(), grad.data(), partial.data());
                 });
  std::vector<T> out(g.pairs() * g.taps(), T(-7));
  on_cpu::launch({2, 1, 1}, {32, 1, 1}, 0, order, [&] {
    fold_kernel<Wide<T>, T>(std::int64_t(out.size()), g.taps(), parts, partial.data(), out.data());
  });
  return out;
}

template <class T>
double worst(const std::vector<T>& ours, const Numbers& expected, double floor = 1) {
  REQUIRE(ours.size() == expected.size());
  double most = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double apart = std::abs(double(ours[i]) - expected[i]);
    if (!(apart <= 1e30)) return apart;
    most = std::max(most, apart / std::max(floor, std::abs(expected[i])));
  }
  return most;
}

}  // namespace

TEST_CASE("CUDA on the CPU: convolutions of planes equal plain loops, in any order of threads") {
  for (const Case& made : cases) {
    const auto image = numbers(made.image_size(), 1), kernel = numbers(made.kernel_size(), 2);
    const auto grad = numbers(made.out_size(), 3), none = Numbers();
    const auto out = made.forward(image, kernel), back = made.image_gradient(grad, kernel);
    for (const auto order : on_cpu::orders) {
      CHECK(worst(convolve<double, 2>(made.convolution(false), image, kernel, none, order), out) <
            1e-12);
      CHECK(worst(convolve<double, 1>(made.convolution(true), grad, kernel, none, order), back) <
            1e-12);
    }
  }
}

TEST_CASE("CUDA on the CPU: gradients of the kernels, in any order of threads and for any parts") {
  for (const Case& made : cases) {
    const auto image = numbers(made.image_size(), 4), grad = numbers(made.out_size(), 5);
    const auto expected = made.kernel_gradient(image, grad);
    for (const auto order : on_cpu::orders)
      CHECK(worst(correlate<double>(made, image, grad, 1 + std::int64_t(order), order), expected) <
            1e-12);
  }
}

TEST_CASE("CUDA on the CPU: narrow types are summed in float32 and rounded once; a bias is added") {
  Case made = cases[0];
  const auto rounded = [](Numbers values) {
    for (double& value : values) value = double(float(on_cpu::Brief(float(value))));
    return values;
  };
  const auto image = rounded(numbers(made.image_size(), 6));
  const auto kernel = rounded(numbers(made.kernel_size(), 7)), bias = rounded(numbers(3, 8));
  auto expected = made.forward(image, kernel);
  for (std::size_t i = 0; i < expected.size(); ++i)
    expected[i] += bias[i / made.positions() % made.groups];
  const auto order = on_cpu::Order::shuffled;
  const auto single = convolve<float, 1>(made.convolution(false), as<float>(image),
                                         as<float>(kernel), as<float>(bias), order);
  CHECK(worst(single, expected) < 4e-6);
  using on_cpu::Brief;
  const auto brief = convolve<Brief, 1>(made.convolution(false), as<Brief>(image),
                                        as<Brief>(kernel), as<Brief>(bias), order);
  CHECK(worst(brief, expected, 1e-2) < 1.0 / 256 + 1e-4);
}

TEST_CASE("CUDA on the CPU: planes more than 2^31 elements from the first") {
  const std::int64_t height = 1 << 20, width = 1 << 10, last = 5 * height * width - 1;
  const on_cpu::Vast<float> image(last + 1), out(last + 1);
  image.data()[last] = 3;
  const float kernel = 2;
  PlaneConvolution g;
  g.items = 5, g.height = g.out_height = height, g.width = g.out_width = width;
  const auto tiles = unsigned(g.tiles(1));
  on_cpu::launch(
      {tiles, 1, 1}, {64, unsigned(g.strips()), 1}, g.block_size(1) * sizeof(float),
      on_cpu::Order::forward,
      [&] { plane_convolution_kernel<float, 1>(g, image.data(), &kernel, nullptr, out.data()); },
      tiles - 1);
  CHECK(out.data()[last] == 6);
  PlaneCorrelation c;
  c.groups = 5, c.height = c.out_height = height, c.width = c.out_width = width;
  c.parts = c.tiles();
  std::vector<float> partial(5 * c.parts, -7);
  on_cpu::launch(
      {unsigned(5 * c.parts), 1, 1}, {unsigned(c.threads()), 1, 1}, c.block_size() * sizeof(float),
      on_cpu::Order::forward,
      [&] { plane_correlation_kernel<float>(c, image.data(), out.data(), partial.data()); },
      5 * c.parts - 1);
  CHECK(partial.back() == 18);
}
