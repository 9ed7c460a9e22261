// The CUDA kernels of deformable convolution, executed on the CPU, against the definition.
#include <doctest/doctest.h>

#include "kernels/cuda_on_cpu.hpp"
#include "kernels/deform_conv_definition.hpp"
// After cuda_on_cpu.hpp.
#include "deeplight/kernels/deform_conv.cuh"

namespace on_cpu = deeplight::cuda_on_cpu;
namespace kernels = deeplight::kernels;
using deeplight::plain::DeformCase;
using deeplight::plain::make_deform_case;
using kernels::DeformGeometry;

namespace {

constexpr on_cpu::Dim grid{3, 1, 1}, block{64, 1, 1};

// What bindings/torch/deform_conv_kernel.cu does around the kernels, for one strip.
struct Strip {
  const DeformCase& of;
  std::int64_t begin, count;
  on_cpu::Order order;

  std::vector<double> columns() const {
    std::vector<double> found(of.g.channels * of.g.taps() * count, -1);
    on_cpu::launch(grid, block, 0, order, [&] {
      kernels::deform_columns_kernel<double>(of.g, begin, count, of.image.data(), of.offset.data(),
                                             of.masked(), found.data());
    });
    return found;
  }

  // Adds to the gradients of the whole sample; columns_grad [C*K, count].
  void backward(const std::vector<double>& columns_grad, bool in_order, std::vector<double>& image,
                std::vector<double>& offset, std::vector<double>& mask) const {
    on_cpu::launch(grid, block, 0, order, [&] {
      kernels::deform_columns_backward_kernel<double>(
          of.g, begin, count, of.image.data(), of.offset.data(), of.masked(), columns_grad.data(),
          in_order ? nullptr : image.data(), offset.data(), of.masked() ? mask.data() : nullptr);
    });
    if (!in_order) return;
    const std::int64_t taps = of.g.taps(), plane = of.g.height * of.g.width;
    std::vector<std::int64_t> pixels(4 * count, -1);
    std::vector<double> weights(4 * count, -1);
    for (std::int64_t slot = 0; slot < of.g.offset_groups * taps; ++slot) {
      on_cpu::launch(grid, block, 0, order, [&] {
        kernels::deform_corners_kernel<double>(of.g, slot, begin, count, of.offset.data(),
                                               of.masked(), pixels.data(), weights.data());
      });
      const std::int64_t per_group = of.g.channels_per_group();
      for (std::int64_t c = slot / taps * per_group; c < (slot / taps + 1) * per_group; ++c)
        for (std::int64_t i = 0; i < 4 * count; ++i)
          image[c * plane + pixels[i]] +=
              weights[i] * columns_grad[(c * taps + slot % taps) * count + i % count];
    }
  }
};

// sum over columns of grad * column, the scalar whose gradients are checked.
double scalar(const DeformCase& made, const std::vector<double>& grad) {
  double sum = 0;
  for (std::int64_t row = 0; row < made.g.channels * made.g.taps(); ++row)
    for (std::int64_t p = 0; p < made.g.positions(); ++p)
      sum += grad[row * made.g.positions() + p] *
             made.sampled(row / made.g.taps(), row % made.g.taps(), p);
  return sum;
}

}  // namespace

TEST_CASE("CUDA on the CPU: columns of a strip are the definition's, in any order of threads") {
  unsigned seed = 0;
  for (const auto order : on_cpu::orders)
    for (const bool modulated : {false, true}) {
      DeformCase made = make_deform_case(++seed, 6, 2, 3, 4, 5, 7, 3);
      if (!modulated) made.mask.clear();
      for (const auto& [begin, count] : {std::pair<std::int64_t, std::int64_t>{0, 7}, {7, 13}}) {
        const auto columns = Strip{made, begin, count, order}.columns();
        for (std::int64_t row = 0; row < made.g.channels * made.g.taps(); ++row)
          for (std::int64_t i = 0; i < count; ++i)
            REQUIRE(
                columns[row * count + i] ==
                doctest::Approx(made.sampled(row / made.g.taps(), row % made.g.taps(), begin + i))
                    .epsilon(1e-12)
                    .scale(1));
      }
    }
}

TEST_CASE("CUDA on the CPU: gradients are those of finite differences, scattered or in order") {
  for (const auto order : on_cpu::orders)
    for (const bool in_order : {false, true})
      for (const bool modulated : {false, true}) {
        DeformCase made = make_deform_case(9, 6, 2, 3, 4, 5, 7, 2);
        if (!modulated) made.mask.clear();
        const std::int64_t all = made.g.positions(), rows = made.g.channels * made.g.taps();
        std::vector<double> grad(rows * all);
        for (std::size_t i = 0; i < grad.size(); ++i) grad[i] = std::sin(double(i) + 1);
        std::vector<double> image(made.image.size(), 0), offset(made.offset.size(), -1);
        std::vector<double> mask(made.mask.size(), -1);
        for (std::int64_t begin = 0; begin < all; begin += 9) {
          const std::int64_t count = std::min<std::int64_t>(9, all - begin);
          std::vector<double> part(rows * count);
          for (std::int64_t i = 0; i < rows * count; ++i)
            part[i] = grad[i / count * all + begin + i % count];
          Strip{made, begin, count, order}.backward(part, in_order, image, offset, mask);
        }
        const double step = 1e-6;
        const auto check = [&](std::vector<double>& values, const std::vector<double>& analytic) {
          for (std::size_t i = 0; i < values.size(); i += 7) {
            const double before = values[i];
            values[i] = before + step;
            const double above = scalar(made, grad);
            values[i] = before - step;
            const double below = scalar(made, grad);
            values[i] = before;
            CHECK(analytic[i] ==
                  doctest::Approx((above - below) / (2 * step)).epsilon(1e-5).scale(1));
          }
        };
        check(made.image, image);
        check(made.offset, offset);
        check(made.mask, mask);
      }
}

TEST_CASE("CUDA on the CPU: a point outside, or nowhere, samples zero and has no gradient") {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity(), -1e300, 1e300, 1e9, -1e9, 100.0, -100.0}) {
    DeformCase made = make_deform_case(4, 3, 1, 1, 2, 5, 5, 0);
    for (double& value : made.offset) value = bad;
    const std::int64_t all = made.g.positions();
    const Strip strip{made, 0, all, on_cpu::Order::forward};
    for (const double value : strip.columns()) REQUIRE(value == 0);
    for (const bool in_order : {false, true}) {
      std::vector<double> image(made.image.size(), 0), offset(made.offset.size(), -1);
      std::vector<double> mask(made.mask.size(), -1);
      const std::vector<double> ones(made.g.channels * made.g.taps() * all, 1);
      strip.backward(ones, in_order, image, offset, mask);
      for (const auto* values : {&image, &offset, &mask})
        for (const double value : *values) REQUIRE(value == 0);
    }
  }
}
