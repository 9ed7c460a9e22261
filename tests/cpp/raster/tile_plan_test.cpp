// Every pixel has one owner; halos and alignment hold, over odd, prime and degenerate sizes.
#include "deeplight/raster/tile_plan.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace deeplight;

TEST_CASE("tile plan: one owner per pixel, halo, alignment") {
  const std::int64_t sizes[][2] = {{1, 1}, {1, 97}, {2, 3}, {31, 37}, {64, 64}, {101, 53}, {7, 1}};
  int checked = 0;
  for (const auto& [rows, columns] : sizes) {
    for (const std::int64_t tile : {1, 4, 7, 16, 33, 1000}) {
      for (const std::int64_t halo : {0, 1, 5, 64}) {
        for (const std::int64_t multiple : {1, 4}) {
          const TilePlan plan(rows, columns, tile, halo, multiple);
          std::vector<int> owners(static_cast<std::size_t>(rows * columns), 0);
          bool inside = true, covered = true, aligned = true;
          for (std::int64_t index = 0; index < plan.size(); ++index) {
            const auto [owner, read] = plan[index];
            inside = inside && owner.rows >= 1 && owner.columns >= 1 && read.row >= 0 &&
                     read.column >= 0 && read.row + read.rows <= rows &&
                     read.column + read.columns <= columns;
            for (std::int64_t row = owner.row; row < owner.row + owner.rows; ++row) {
              for (std::int64_t column = owner.column; column < owner.column + owner.columns;
                   ++column) {
                ++owners[static_cast<std::size_t>(row * columns + column)];
              }
            }
            covered = covered && read.row <= std::max<std::int64_t>(owner.row - halo, 0) &&
                      read.column <= std::max<std::int64_t>(owner.column - halo, 0) &&
                      read.row + read.rows >= std::min(owner.row + owner.rows + halo, rows) &&
                      read.column + read.columns >=
                          std::min(owner.column + owner.columns + halo, columns);
            aligned = aligned && read.row % multiple == 0 && read.column % multiple == 0 &&
                      (read.rows % multiple == 0 || read.row + read.rows == rows) &&
                      (read.columns % multiple == 0 || read.column + read.columns == columns);
          }
          CHECK(inside);
          CHECK(covered);
          CHECK(aligned);
          CHECK(std::all_of(owners.begin(), owners.end(), [](int count) { return count == 1; }));
          ++checked;
        }
      }
    }
  }
  CHECK(checked == 7 * 6 * 4 * 2);
}

TEST_CASE("tile plan: more than 2^31 pixels") {
  const TilePlan plan(2'000'000, 2'000'000, 256, 32, 4);
  CHECK(plan.size() == 7813LL * 7813LL);
  const Tile last = plan[plan.size() - 1];
  CHECK(last.owner.row + last.owner.rows == 2'000'000);
  CHECK(last.read == Window{1'999'840, 1'999'840, 160, 160});
}

TEST_CASE("tile plan: wrong use") {
  CHECK_THROWS_AS(TilePlan(0, 4, 4, 0), InvalidArgument);
  CHECK_THROWS_AS(TilePlan(4, 4, 0, 0), InvalidArgument);
  CHECK_THROWS_AS(TilePlan(4, 4, 4, -1), InvalidArgument);
  CHECK_THROWS_AS(TilePlan(4, 4, 4, 0, 0), InvalidArgument);
  CHECK_THROWS_AS(TilePlan(4, 4, 4, 0)[1], InvalidArgument);
}
