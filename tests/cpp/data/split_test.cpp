// Blocked splits: what must be refused, and that the message says where.
#include "deeplight/data/split.hpp"

#include <doctest/doctest.h>

namespace deeplight {
namespace {

const Region west{0, 0, 128, 120};
const Region middle{0, 122, 128, 15};
const Region east{0, 139, 128, 36};

TEST_CASE("parts that keep their distance pass") {
  CHECK_NOTHROW(check_split({{west}, {middle}, {east}}, 128, 175, 2));
  CHECK_NOTHROW(check_split({{west}, {middle}, {}}, 128, 175, 2));
  CHECK_NOTHROW(check_split({{{0, 0, 4, 4}, {4, 0, 4, 4}}, {{0, 6, 8, 2}}, {}}, 8, 8, 2));
}

TEST_CASE("cells between rectangles count along the farther axis") {
  CHECK(cells_between(west, middle) == 2);
  CHECK(cells_between(middle, west) == 2);
  CHECK(cells_between({0, 0, 4, 4}, {4, 4, 4, 4}) == 0);
  CHECK(cells_between({0, 0, 4, 4}, {3, 3, 4, 4}) == -1);
  CHECK(cells_between({0, 0, 4, 4}, {9, 1, 2, 2}) == 5);
}

TEST_CASE("closer than the buffer, overlapping, empty or outside is refused") {
  CHECK_THROWS_WITH_AS(
      check_split({{west}, {middle}, {east}}, 128, 175, 3),
      "the train region rows 0..127, columns 0..119 and the validation region rows "
      "0..127, columns 122..136 are 2 cells apart, closer than the buffer of 3",
      InvalidArgument);
  CHECK_THROWS_WITH_AS(
      check_split({{west}, {{5, 119, 3, 9}}, {}}, 128, 175, 0),
      "the train region rows 0..127, columns 0..119 overlaps the validation region "
      "rows 5..7, columns 119..127",
      InvalidArgument);
  CHECK_THROWS_AS(check_split({{west}, {middle}, {{0, 130, 128, 45}}}, 128, 175, 2),
                  InvalidArgument);
  CHECK_THROWS_WITH_AS(check_split({{}, {middle}, {}}, 128, 175, 2),
                       "the train part of the split is empty", InvalidArgument);
  CHECK_THROWS_AS(check_split({{west}, {}, {}}, 128, 175, 2), InvalidArgument);
  CHECK_THROWS_AS(check_split({{west}, {{0, 130, 0, 4}}, {}}, 128, 175, 2), InvalidArgument);
  CHECK_THROWS_AS(check_split({{west}, {middle}, {east}}, 128, 174, 2), InvalidArgument);
  CHECK_THROWS_AS(check_split({{{-1, 0, 9, 9}}, {middle}, {}}, 128, 175, 2), InvalidArgument);
  CHECK_THROWS_AS(check_split({{west}, {middle}, {}}, 128, 175, -1), InvalidArgument);
}

}  // namespace
}  // namespace deeplight
