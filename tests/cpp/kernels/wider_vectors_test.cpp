// Wider vectors change the time of a score, not its bits.
#include "deeplight/kernels/wider_vectors.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "deeplight/kernels/window_scores_cpu.hpp"

namespace {

using namespace deeplight::kernels;

constexpr std::int64_t side = 61;

std::vector<double> lights(int kind) {
  std::vector<double> values(side * side);
  for (std::int64_t i = 0; i < side * side; ++i) {
    values[i] = i * 7919 % 13 < 6 ? 0.0 : static_cast<double>(i * (31 + kind) % 211) / 7.0;
  }
  return values;
}

}  // namespace

TEST_CASE("a score in wider vectors has the bits of the plain one") {
  const std::vector<double> x = lights(0), y = lights(1);
  for (const MomentWindow& window : {MomentWindow::uniform(8), MomentWindow::gaussian(11, 1.5)}) {
    const std::int64_t high = side - window.size + 1;
    std::vector<double> wide_map(high * high), plain_map(high * high), wide(high), plain(high);
    std::vector<std::int64_t> counts(high), plain_counts(high);
    WindowJob job{.x = Plane::of(x.data(), side, side, side, 1),
                  .y = Plane::of(y.data(), side, side, side, 1),
                  .row_sums = wide.data(),
                  .row_counts = counts.data(),
                  .map = wide_map.data()};
    score_windows(std::vector<WindowJob>{job}, window, UiqiScore{}, Sequential{});
    job.row_sums = plain.data();
    job.row_counts = plain_counts.data();
    job.map = plain_map.data();
    detail::score_strip(job, window, UiqiScore{}, 0, high, 0, high);
    CHECK(wide_map == plain_map);
    CHECK(wide == plain);
    CHECK(counts == plain_counts);
    CHECK(plain_map[high] != plain_map[high + 1]);
  }
}

TEST_CASE("what is run in wider vectors is run once") {
  int runs = 0;
  in_wider_vectors([&] { ++runs; });
  CHECK(runs == 1);
}
