// The large selective kernel: its gradients against differences of its result, without torch.
//
// The kernels in double alone: under sanitizers each type costs half a minute to compile.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "deeplight/kernels/large_selective_kernel_table.hpp"
#include "kernels/plain_images.hpp"

using namespace deeplight;
using namespace deeplight::kernels;
using deeplight::plain::Numbers;
using deeplight::plain::numbers;

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
  const auto pointers = [](auto& w) {
    return std::array{w[0].data(), w[1].data(), w[2].data(),  w[3].data(),
                      w[4].data(), w[5].data(), w[6].data(),  w[7].data(),
                      w[8].data(), w[9].data(), w[10].data(), w[11].data()};
  };
  const auto value = [&] {
    const auto p = pointers(weights);
    selective_detail::forward<double, Arch>(
        g, {p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11]}, input.data(),
        multiplier.data(), out.data(), sequential());
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * grad[i];
    return sum;
  };
  const auto p = pointers(weights);
  const auto q = pointers(grads);
  selective_detail::backward<double, Arch>(
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
