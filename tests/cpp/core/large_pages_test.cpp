// Asking for large pages: which lie whole in a piece of memory, and that nothing else changes.
#include "deeplight/core/large_pages.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <numeric>
#include <vector>

using deeplight::large_page;
using deeplight::large_pages_of;

TEST_CASE("large pages lie whole inside of the memory") {
  CHECK(large_pages_of(0, large_page).bytes == large_page);
  CHECK(large_pages_of(1, large_page).bytes == 0);
  CHECK(large_pages_of(1, 2 * large_page - 2).bytes == 0);
  CHECK(large_pages_of(1, 2 * large_page - 1).bytes == large_page);
  CHECK(large_pages_of(large_page + 64, 3 * large_page).begin == 2 * large_page);
  CHECK(large_pages_of(large_page + 64, 3 * large_page).bytes == 2 * large_page);
  CHECK(large_pages_of(64, 0).bytes == 0);
}

TEST_CASE("a hint changes neither contents nor errno") {
  std::vector<int> numbers(3 * large_page / sizeof(int));
  std::iota(numbers.begin(), numbers.end(), 0);
  errno = 17;
  deeplight::prefer_large_pages(numbers.data(), numbers.size() * sizeof(int));
  deeplight::prefer_large_pages(nullptr, 8 * large_page);
  CHECK(errno == 17);
  bool same = true;
  for (std::size_t i = 0; i < numbers.size(); ++i) same = same && numbers[i] == static_cast<int>(i);
  CHECK(same);
}
