// The CUDA kernels of 1x1 convolution with PixelShuffle and of a projection's tail, executed on the
// CPU, against their definitions in double.
#include <doctest/doctest.h>

#include "kernels/cuda_on_cpu.hpp"
#include "kernels/plain_images.hpp"
// After cuda_on_cpu.hpp.
#include "deeplight/kernels/pixel_shuffle_conv.cuh"
#include "deeplight/kernels/projection_tail.cuh"

namespace on_cpu = deeplight::cuda_on_cpu;
using namespace deeplight::kernels;
using deeplight::plain::Numbers;
using deeplight::plain::numbers;

namespace {

template <class T>
std::vector<T> typed(Numbers& values) {  // and as T holds them
  std::vector<T> all;
  for (double& value : values) {
    all.push_back(T(Wide<T>(value)));
    value = double(Wide<T>(all.back()));
  }
  return all;
}

// Offset of [b, c, y, x] in an image of so many channels.
std::int64_t at(bool channels_last, std::int64_t channels, std::int64_t height, std::int64_t width,
                std::int64_t b, std::int64_t c, std::int64_t y, std::int64_t x) {
  return channels_last ? ((b * height + y) * width + x) * channels + c
                       : ((b * channels + c) * height + y) * width + x;
}

struct Tail {
  bool bias, slope, residual, kept;
};

// The worst error relative to the sum of |a| |b|, of results and of kept sums.
template <class T, bool tensor_cores>
double worst(const PixelShuffle& s, const Tail& tail, on_cpu::Order order) {
  const std::int64_t high = s.height * s.rh, wide = s.width * s.rw, area = s.rh * s.rw;
  Numbers image = numbers(s.batch * s.inputs * s.pixels(), 1);
  Numbers weight = numbers(s.results() * s.inputs, 2), bias = numbers(s.results(), 3);
  Numbers slope = numbers(s.outputs, 4), residual = numbers(s.batch * s.outputs * high * wide, 5);
  const auto images = typed<T>(image), weights = typed<T>(weight), biases = typed<T>(bias),
             slopes = typed<T>(slope), residuals = typed<T>(residual);
  std::vector<T> out(residual.size(), T(-7)), kept(residual.size(), T(-7));
  const auto given = [](bool is, auto& values) { return is ? values.data() : nullptr; };
  on_cpu::launch({3, 1, 1}, {product_threads, 1, 1}, sizeof(PixelShuffleMemory<T>), order, [&] {
    pixel_shuffle_conv_kernel<T, tensor_cores>(
        s, images.data(), weights.data(), given(tail.bias, biases), given(tail.slope, slopes),
        given(tail.residual, residuals), given(tail.kept, kept), out.data());
  });
  double most = 0;
  for (std::int64_t b = 0; b < s.batch; ++b)
    for (std::int64_t o = 0; o < s.outputs; ++o)
      for (std::int64_t y = 0; y < high; ++y)
        for (std::int64_t x = 0; x < wide; ++x) {
          const std::int64_t i = y % s.rh, j = x % s.rw, phase = i * s.rw + j;
          double sum = tail.bias ? bias[phase * s.outputs + o] : 0, size = std::abs(sum) + 1e-3;
          for (std::int64_t c = 0; c < s.inputs; ++c) {
            const double product =
                image[at(s.channels_last, s.inputs, s.height, s.width, b, c, y / s.rh, x / s.rw)] *
                weight[s.channels_last ? (c * area + phase) * s.outputs + o
                                       : (o * area + phase) * s.inputs + c];
            sum += product, size += std::abs(product);
          }
          const std::int64_t to = at(s.channels_last, s.outputs, high, wide, b, o, y, x);
          if (tail.kept) most = std::max(most, std::abs(double(kept[to]) - sum) / size);
          if (tail.slope && sum < 0) sum *= slope[o];
          if (tail.residual)
            sum += s.alpha * residual[to], size += std::abs(s.alpha * residual[to]);
          const double apart = std::abs(double(out[to]) - sum) / size;
          most = apart < 1e30 ? std::max(most, apart) : 1e30;
        }
  return most;
}

const PixelShuffle shapes[] = {{1, 1, 1, 1, 1, 1, 1},   {2, 5, 3, 7, 11, 2, 2},
                               {1, 70, 9, 5, 14, 3, 3}, {2, 33, 20, 9, 8, 1, 4},
                               {1, 66, 2, 3, 3, 8, 8},  {1, 3, 1, 2, 2, 2, 67}};

}  // namespace

TEST_CASE("CUDA on the CPU: 1x1 convolution lands where PixelShuffle puts it") {
  int round = 0;
  for (PixelShuffle s : shapes)
    for (const bool channels_last : {false, true}) {
      s.channels_last = channels_last, s.alpha = -0.5;
      const auto order = on_cpu::orders[++round % 3];
      CAPTURE(round);
      for (const Tail& tail : {Tail{false, false, false, false}, Tail{true, true, true, true},
                               Tail{true, round % 2 == 0, round % 2 == 1, false}}) {
        CHECK(worst<double, false>(s, tail, order) < 1e-14);
        CHECK(worst<float, false>(s, tail, order) < 1e-6);
        CHECK(worst<float, true>(s, tail, order) < 1e-6);
        CHECK(worst<on_cpu::Brief, true>(s, tail, order) < 1.01 / 256);  // rounded once
      }
    }
  CHECK(sizeof(PixelShuffleMemory<float>) <= 48 * 1024);
  CHECK(sizeof(PixelShuffleMemory<double>) <= 48 * 1024);
}

TEST_CASE("CUDA on the CPU: shuffled images beyond 2^31 pixels are reached") {
  for (const bool channels_last : {false, true}) {
    const PixelShuffle s{1, 1, 1, 23200, 23200, 2, 2, channels_last, 1};
    const on_cpu::Vast<float> image(s.pixels()), out(4 * s.pixels());
    const float weight[4] = {1, 2, 3, 4};
    image.data()[s.pixels() - 1] = 5;
    on_cpu::launch(
        {unsigned(s.blocks()), 1, 1}, {product_threads, 1, 1}, sizeof(PixelShuffleMemory<float>),
        on_cpu::Order::forward,
        [&] {
          pixel_shuffle_conv_kernel<float, false>(s, image.data(), weight, nullptr, nullptr,
                                                  nullptr, nullptr, out.data());
        },
        s.blocks() - 1);
    const float* end = out.data() + 4 * s.pixels();
    CHECK(end[-1] == 20);
    CHECK(end[-2] == 15);
    CHECK(end[-1 - 2 * s.width] == 10);
    CHECK(end[-2 - 2 * s.width] == 5);
  }
}

TEST_CASE("CUDA on the CPU: a projection's tail and its gradients, planes and channels last") {
  const std::int64_t outer = 3, channels = 37, inner = 19, parts = 3;
  const std::int64_t count = outer * channels * inner;
  auto product = numbers(count, 1), bias = numbers(channels, 2), slope = numbers(channels, 3),
       residual = numbers(count, 4), above = numbers(count, 5);
  for (const auto order : on_cpu::orders)
    for (const bool planes : {true, false}) {
      const std::int64_t rows = planes ? outer : outer * inner, along = planes ? inner : 1;
      const auto channel = [&](std::int64_t i) { return i / along % channels; };
      Numbers kept(count, -7), out(count, -7), below(count, -7);
      on_cpu::launch({3, 1, 1}, {32, 1, 1}, 0, order, [&] {
        projection_tail_kernel<double>(count, channels, along, 2.5, product.data(), bias.data(),
                                       slope.data(), residual.data(), kept.data(), out.data());
      });
      Numbers by_bias(channels, 0), by_slope(channels, 0);
      for (std::int64_t i = 0; i < count; ++i) {
        const double sum = product[i] + bias[channel(i)];
        CHECK(kept[i] == sum);
        const double active = sum > 0 ? sum : sum * slope[channel(i)];
        CHECK(out[i] == doctest::Approx(active + 2.5 * residual[i]).epsilon(1e-14).scale(1));
        by_bias[channel(i)] += above[i] * (sum > 0 ? 1 : slope[channel(i)]);
        by_slope[channel(i)] += sum > 0 ? 0 : above[i] * sum;
      }
      const bool with_slope = order != on_cpu::Order::backward;
      Numbers partial(2 * parts * channels, -7), found(2 * channels, -7);
      const std::int64_t chunks = planes ? channels : (channels + 31) / 32;
      on_cpu::launch(
          {unsigned(chunks * parts), 1, 1}, {256, 1, 1}, 512 * sizeof(double), order, [&] {
            projection_tail_gradient_kernel<double>(
                rows, channels, along, parts, above.data(), with_slope ? kept.data() : nullptr,
                with_slope ? slope.data() : nullptr, below.data(), partial.data());
          });
      on_cpu::launch({2, 1, 1}, {32, 1, 1}, 0, order, [&] {
        fold_kernel<double, double>(2 * channels, channels, parts, partial.data(), found.data());
      });
      Numbers plain(channels, 0);
      for (std::int64_t i = 0; i < count; ++i) {
        plain[channel(i)] += above[i];
        const bool whole = !with_slope || kept[i] > 0;
        CHECK(below[i] == doctest::Approx(whole ? above[i] : above[i] * slope[channel(i)]));
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        const double expected = with_slope ? by_bias[c] : plain[c];
        CHECK(found[c] == doctest::Approx(expected).epsilon(1e-12).scale(1));
        CHECK(found[channels + c] ==
              doctest::Approx(with_slope ? by_slope[c] : 0).epsilon(1e-12).scale(1));
      }
    }
}
