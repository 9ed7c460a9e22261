// The CUDA kernels of deformable convolution's backward pass, executed on the CPU, against the
// definition in double.
//
// Tensor cores are replaced by plain products of the same tiles.
#include <doctest/doctest.h>

#include "kernels/cuda_on_cpu.hpp"
#include "kernels/deform_conv_definition.hpp"
// After cuda_on_cpu.hpp.
#include "deeplight/kernels/deform_conv_backward.cuh"

namespace on_cpu = deeplight::cuda_on_cpu;
using namespace deeplight::kernels;
using deeplight::plain::DeformCase;
using deeplight::plain::DeformGradients;
using deeplight::plain::DeformGradientsOf;
using deeplight::plain::make_deform_case;

namespace {

using Numbers = std::vector<double>;

struct Sizes {
  std::int64_t channels, groups, offset_groups, outputs, height, width;
};

// Below, at and beyond the block's sizes; offset groups that cross the groups of the convolution.
const Sizes sizes[] = {
    {1, 1, 1, 1, 1, 1}, {5, 1, 1, 3, 8, 17}, {18, 3, 2, 6, 9, 15}, {70, 1, 1, 67, 7, 9}};

struct Batch {
  std::vector<DeformCase> samples;
  std::vector<Numbers> grads;  // [outputs, positions] each

  Batch(const Sizes& s, unsigned seed, bool modulated) {
    for (unsigned i = 0; i < 2; ++i) {
      samples.push_back(make_deform_case(seed + i, s.channels, s.groups, s.offset_groups, s.outputs,
                                         s.height, s.width, 3));
      if (!modulated) samples.back().mask.clear();
      samples.back().weight = samples[0].weight;
      grads.emplace_back(s.outputs * samples[0].g.positions());
      for (std::size_t k = 0; k < grads[i].size(); ++k)
        grads[i][k] = std::sin(double(k) * 0.7 + 1 + seed + i);
    }
  }

  // As T holds it.
  template <class T>
  void round() {
    const auto each = [](Numbers& values) {
      for (double& value : values) value = double(Wide<T>(T(Wide<T>(value))));
    };
    for (auto& s : samples) each(s.image), each(s.offset), each(s.mask), each(s.weight);
    for (auto& grad : grads) each(grad);
  }
};

enum class Scatter { numbers, fixed_point };

struct How {
  Scatter scatter = Scatter::numbers;
  on_cpu::Order order = on_cpu::Order::forward;
  std::int64_t channels_at_once = 1 << 20, shares = 1, parts = 2;
};

template <class T>
std::vector<T> typed(const Numbers& values) {
  std::vector<T> all;
  for (const double value : values) all.push_back(T(Wide<T>(value)));
  return all;
}

template <class T>
struct Found {
  std::vector<T> image, offset, mask, weight;
};

// What bindings/torch/deform_conv_cuda.hpp does around the kernels.
template <class T, bool tensor_cores>
Found<T> run(const Batch& batch, const How& how) {
  const DeformCase& made = batch.samples[0];
  const DeformGeometry& g = made.g;
  const DeformFusion f{std::int64_t(batch.samples.size()), made.groups, made.outputs / made.groups,
                       g.channels / made.groups};
  const auto join = [&](auto member) {
    Numbers all;
    for (const auto& s : batch.samples)
      all.insert(all.end(), (s.*member).begin(), (s.*member).end());
    return typed<T>(all);
  };
  const auto image = join(&DeformCase::image), offset = join(&DeformCase::offset),
             mask = join(&DeformCase::mask);
  const T* masked = mask.empty() ? nullptr : mask.data();
  Numbers grads;
  for (const auto& each : batch.grads) grads.insert(grads.end(), each.begin(), each.end());
  const auto grad = typed<T>(grads);
  std::vector<T> weight;  // [groups, K, depth, outputs]
  for (std::int64_t group = 0; group < f.groups; ++group)
    for (std::int64_t tap = 0; tap < g.taps(); ++tap)
      for (std::int64_t c = 0; c < f.depth; ++c)
        for (std::int64_t o = 0; o < f.outputs; ++o)
          weight.push_back(
              T(Wide<T>(made.weight[((group * f.outputs + o) * f.depth + c) * g.taps() + tap])));
  Found<T> found{std::vector<T>(image.size(), T(0)), std::vector<T>(offset.size(), T(-7)),
                 std::vector<T>(mask.size(), T(-7)), std::vector<T>(made.weight.size(), T(-7))};
  int exponents[3] = {std::numeric_limits<int>::min(), std::numeric_limits<int>::min(), 0};
  const auto exponent = [&](const std::vector<T>& values, int* to) {
    on_cpu::launch({2, 1, 1}, {32, 1, 1}, 32 * sizeof(int), how.order, [&] {
      largest_exponent_kernel<T>(std::int64_t(values.size()), values.data(), to);
    });
  };
  exponent(grad, exponents), exponent(weight, exponents + 1);
  if (masked) exponents[2] = std::numeric_limits<int>::min(), exponent(mask, exponents + 2);
  const std::int64_t plane = g.height * g.width;
  for (std::int64_t b = 0; b < f.batch; ++b)
    for (std::int64_t c = 0; c < g.channels; c += how.channels_at_once) {
      const DeformRange range{b, 1, c, std::min(c + how.channels_at_once, g.channels), how.shares};
      const auto backward = [&](auto* scattered) {
        on_cpu::launch({3, 1, 1}, {product_threads, 1, 1}, sizeof(DeformBackwardMemory<T>),
                       how.order, [&] {
                         deform_backward_kernel<T, tensor_cores>(
                             g, f, range, image.data(), offset.data(), masked, weight.data(),
                             grad.data(), exponents, scattered, found.image.data(),
                             found.offset.data(), masked ? found.mask.data() : nullptr);
                       });
      };
      const std::int64_t count = range.channels() * plane;
      if (how.scatter == Scatter::fixed_point) {
        std::vector<unsigned long long> sums(count, 0);
        backward(sums.data());
        on_cpu::launch({2, 1, 1}, {64, 1, 1}, 0, how.order, [&] {
          deform_unscale_kernel<T>(g, f, range, exponents, sums.data(), found.image.data());
        });
      } else {
        std::vector<Wide<T>> sums(count, 0);
        backward(sums.data());
        for (std::int64_t i = 0; i < count; ++i)
          found.image[(b * g.channels + c) * plane + i] = T(sums[i]);
      }
    }
  std::vector<Wide<T>> partial(how.parts * made.weight.size(), -7);
  on_cpu::launch({3, 1, 1}, {product_threads, 1, 1}, sizeof(DeformWeightMemory<T>), how.order, [&] {
    deform_weight_kernel<T, tensor_cores>(g, f, how.parts, image.data(), offset.data(), masked,
                                          grad.data(), partial.data());
  });
  const auto count = std::int64_t(made.weight.size());
  std::vector<T> folded(count);
  on_cpu::launch({2, 1, 1}, {64, 1, 1}, 0, how.order, [&] {
    fold_kernel<Wide<T>, T>(count, count, how.parts, partial.data(), folded.data());
  });
  for (std::int64_t i = 0; i < count; ++i) {  // [groups, K, outputs, depth] to [O, depth, K]
    const std::int64_t c = i % f.depth, o = i / f.depth % f.outputs;
    const std::int64_t tap = i / f.depth / f.outputs % g.taps();
    const std::int64_t group = i / f.depth / f.outputs / g.taps();
    found.weight[((group * f.outputs + o) * f.depth + c) * g.taps() + tap] = folded[i];
  }
  return found;
}

// The worst error of all gradients relative to the sum of |a| |b|.
template <class T>
double worst(const Batch& batch, const Found<T>& found) {
  double most = 0;
  Numbers weight(found.weight.size(), 0), weight_size(found.weight.size(), 1e-3);
  const auto check = [&](const std::vector<T>& ours, std::size_t from, const Numbers& exact,
                         const Numbers& size) {
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const double apart = std::abs(double(ours[from + i]) - exact[i]) / (size[i] + 1e-3);
      most = apart < 1e30 ? std::max(most, apart) : 1e30;
    }
  };
  for (std::size_t b = 0; b < batch.samples.size(); ++b) {
    const DeformGradientsOf of(batch.samples[b], batch.grads[b]);
    check(found.image, b * of.exact.image.size(), of.exact.image, of.magnitude.image);
    check(found.offset, b * of.exact.offset.size(), of.exact.offset, of.magnitude.offset);
    check(found.mask, b * of.exact.mask.size(), of.exact.mask, of.magnitude.mask);
    for (std::size_t i = 0; i < weight.size(); ++i)
      weight[i] += of.exact.weight[i], weight_size[i] += of.magnitude.weight[i];
  }
  check(found.weight, 0, weight, weight_size);
  return most;
}

template <class T, bool tensor_cores>
double worst(const Sizes& s, unsigned seed, bool modulated, const How& how) {
  Batch batch(s, seed, modulated);
  batch.round<T>();
  return worst(batch, run<T, tensor_cores>(batch, how));
}

}  // namespace

TEST_CASE("The definition's gradients are those of finite differences") {
  const Batch batch(sizes[2], 3, true);
  DeformCase made = batch.samples[0];
  const DeformGradients analytic = DeformGradientsOf(made, batch.grads[0]).exact;
  const auto scalar = [&] {
    double sum = 0;
    for (std::int64_t o = 0; o < made.outputs; ++o)
      for (std::int64_t p = 0; p < made.g.positions(); ++p)
        sum += batch.grads[0][o * made.g.positions() + p] * made.out(o, p);
    return sum;
  };
  const auto check = [&](Numbers& values, const Numbers& expected) {
    for (std::size_t i = 0; i < values.size(); i += 1 + values.size() / 20) {
      const double before = values[i], step = 1e-6;
      values[i] = before + step;
      const double above = scalar();
      values[i] = before - step;
      const double below = scalar();
      values[i] = before;
      CHECK(expected[i] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-5).scale(1));
    }
  };
  check(made.image, analytic.image), check(made.offset, analytic.offset);
  check(made.mask, analytic.mask), check(made.weight, analytic.weight);
}

TEST_CASE("CUDA on the CPU: gradients of deformable convolution are the definition's") {
  unsigned seed = 0;
  for (const Sizes& s : sizes) {
    const auto order = on_cpu::orders[++seed % 3];
    for (const auto scatter : {Scatter::numbers, Scatter::fixed_point}) {
      CAPTURE(seed);
      const bool modulated = (scatter == Scatter::numbers) == (seed % 2 == 0);
      How how{scatter, order, 1 << 20, 1, 2};
      // The definition adds position and offset, which takes digits from the fraction.
      CHECK(worst<double, false>(s, seed, modulated, how) <
            (scatter == Scatter::numbers ? 1e-12 : 1e-11));
      CHECK(worst<float, false>(s, seed, modulated, how) < 2e-6);
      CHECK(worst<float, true>(s, seed, modulated, how) < 2e-6);
      // Ranges within an offset group, blocks that divide the taps, more parts than tiles.
      how.channels_at_once = 4, how.shares = 4, how.parts = 9;
      CHECK(worst<float, false>(s, seed, !modulated, how) < 2e-6);
    }
  }
}

TEST_CASE("CUDA on the CPU: gradients of bfloat16 are summed in float32") {
  // Columns, their gradients and results are rounded once each, to 8 bits.
  for (const auto scatter : {Scatter::numbers, Scatter::fixed_point})
    for (const Sizes& s : {sizes[1], sizes[2]})
      CHECK(worst<on_cpu::Brief, true>(s, 77, true, {scatter}) < 1.01 / 128);
}

TEST_CASE("CUDA on the CPU: in fixed point no bit depends on the order of threads and blocks") {
  Batch batch(sizes[2], 5, true);
  batch.round<float>();
  const auto first = run<float, false>(batch, {Scatter::fixed_point, on_cpu::Order::forward});
  for (const auto order : {on_cpu::Order::backward, on_cpu::Order::shuffled}) {
    const auto again = run<float, false>(batch, {Scatter::fixed_point, order});
    CHECK(again.image == first.image);
    CHECK(again.offset == first.offset);
    CHECK(again.mask == first.mask);
    CHECK(again.weight == first.weight);
  }
}

TEST_CASE("CUDA on the CPU: what samples nowhere has no gradient; what is not finite stays seen") {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity(), -1e30, 1e9, 100.0}) {
    Batch batch(sizes[1], 5, true);
    for (auto& made : batch.samples)
      for (double& value : made.offset) value = bad;
    for (const auto scatter : {Scatter::numbers, Scatter::fixed_point}) {
      const auto found = run<float, false>(batch, {scatter});
      for (const auto* values : {&found.image, &found.offset, &found.mask, &found.weight})
        for (const float value : *values) REQUIRE(value == 0);
    }
  }
  Batch batch(sizes[1], 6, false);
  for (auto& made : batch.samples)
    for (double& value : made.offset) value = 0;
  batch.grads[1][3] = std::numeric_limits<double>::infinity();
  const auto numbers = run<float, false>(batch, {Scatter::numbers});
  const auto whole = run<float, false>(batch, {Scatter::fixed_point});
  bool seen = false;
  for (std::size_t i = 0; i < numbers.image.size(); ++i) {
    REQUIRE(std::isfinite(numbers.image[i]) == std::isfinite(whole.image[i]));
    seen = seen || !std::isfinite(whole.image[i]);
  }
  CHECK(seen);
}

TEST_CASE("CUDA on the CPU: gradients beyond 2^31 pixels are reached") {
  DeformGeometry g;
  g.channels = 1, g.height = g.width = g.out_height = g.out_width = 46400;
  g.kernel_h = g.kernel_w = 1;
  const DeformFusion f{1, 1, 1, 1};
  const DeformRange range{0, 1, 0, 1, 1};
  const std::int64_t all = g.positions();
  const on_cpu::Vast<float> image(all), offset(2 * all), grad(all), scattered(all), moved(2 * all);
  const on_cpu::Vast<float> partial(f.tiles(g));
  const float weight = 3;
  image.data()[all - 1] = 2, grad.data()[all - 1] = 5;
  const auto blocks = unsigned(range.blocks(g, f));
  on_cpu::launch(
      {blocks, 1, 1}, {product_threads, 1, 1}, sizeof(DeformBackwardMemory<float>),
      on_cpu::Order::forward,
      [&] {
        deform_backward_kernel<float, false>(g, f, range, image.data(), offset.data(), nullptr,
                                             &weight, grad.data(), nullptr, scattered.data(),
                                             static_cast<float*>(nullptr), moved.data(), nullptr);
      },
      blocks - 1);
  CHECK(scattered.data()[all - 1] == 15);
  CHECK(moved.data()[2 * all - 1] == -30);  // the neighbours beyond the edge are 0
  on_cpu::launch(
      {blocks, 1, 1}, {product_threads, 1, 1}, sizeof(DeformWeightMemory<float>),
      on_cpu::Order::forward,
      [&] {
        deform_weight_kernel<float, false>(g, f, blocks, image.data(), offset.data(), nullptr,
                                           grad.data(), partial.data());
      },
      blocks - 1);
  CHECK(partial.data()[blocks - 1] == 10);
}
