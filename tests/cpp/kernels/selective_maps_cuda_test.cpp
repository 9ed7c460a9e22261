// The large selective kernel's CUDA kernels, executed on the CPU, against their definition.
#include <doctest/doctest.h>

#include "kernels/cuda_on_cpu.hpp"
#include "kernels/plain_images.hpp"
// After cuda_on_cpu.hpp.
#include "deeplight/kernels/selective_maps.cuh"

namespace on_cpu = deeplight::cuda_on_cpu;
namespace kernels = deeplight::kernels;
using deeplight::plain::Numbers;
using deeplight::plain::numbers;

namespace {
constexpr std::int64_t batch = 2, channels = 5, pixels = 77;
constexpr on_cpu::Dim grid{2, 1, 1}, block{32, 1, 1};
}  // namespace

TEST_CASE("CUDA on the CPU: mean and maximum over both branches") {
  auto first = numbers(batch * channels * pixels, 1),
       second = numbers(batch * channels * pixels, 2);
  first[3 * pixels + 4] = std::numeric_limits<double>::quiet_NaN();
  for (const auto order : on_cpu::orders) {
    Numbers maps(batch * 2 * pixels, -7);
    on_cpu::launch(grid, block, 0, order, [&] {
      kernels::selective_maps_kernel<double>(batch, channels, pixels, first.data(), second.data(),
                                             maps.data());
    });
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t p = 0; p < pixels; ++p) {
        const double mean = maps[b * 2 * pixels + p], most = maps[(b * 2 + 1) * pixels + p];
        if (b == 0 && p == 4) {
          CHECK(std::isnan(mean));
          CHECK(std::isnan(most));
          continue;
        }
        double sum = 0, expected = -1;
        for (std::int64_t c = 0; c < channels; ++c)
          for (const auto* branch : {&first, &second}) {
            const double value = (*branch)[(b * channels + c) * pixels + p];
            sum += value;
            expected = std::max(expected, value);
          }
        REQUIRE(mean == doctest::Approx(sum / (2 * channels)).epsilon(1e-12).scale(1));
        REQUIRE(most == expected);
      }
  }
}

TEST_CASE("CUDA on the CPU: branches are mixed by their gates") {
  const auto first = numbers(batch * channels * pixels, 3);
  const auto second = numbers(batch * channels * pixels, 4), gates = numbers(batch * 2 * pixels, 5);
  const Numbers bias{0.25, -3};
  for (const auto order : on_cpu::orders) {
    Numbers mixed(first.size(), -7);
    on_cpu::launch(grid, block, 0, order, [&] {
      kernels::selective_mix_kernel<double>(batch, channels, pixels, first.data(), second.data(),
                                            gates.data(), bias.data(), mixed.data());
    });
    for (std::int64_t i = 0; i < batch * channels * pixels; ++i) {
      const std::int64_t b = i / pixels / channels, p = i % pixels;
      const auto gate = [&](std::int64_t k) {
        return 1 / (1 + std::exp(-gates[(b * 2 + k) * pixels + p] - bias[k]));
      };
      REQUIRE(mixed[i] ==
              doctest::Approx(gate(0) * first[i] + gate(1) * second[i]).epsilon(1e-12).scale(1));
    }
  }
}
