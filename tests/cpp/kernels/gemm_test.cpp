#include "deeplight/kernels/gemm_cpu.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace kernels = deeplight::kernels;

namespace {

// Small integers: every sum is exact, so that any order of summation must give the same.
template <class T>
std::vector<T> integers(std::int64_t count, int seed) {
  std::vector<T> values(count);
  for (std::int64_t i = 0; i < count; ++i) values[i] = T((i * 31 + seed * 17) % 11 - 5);
  return values;
}

template <class T, class Arch>
void check(std::int64_t rows, std::int64_t columns, std::int64_t depth, bool transposed) {
  const std::int64_t padded = kernels::padded_columns<T, Arch>(columns);
  const auto a = integers<T>(rows * depth, 1), b = integers<T>(depth * padded, 2);
  auto c = integers<T>(rows * padded, 3);
  const auto before = c;
  kernels::GemmBlock<T> block{.rows = rows, .columns = columns, .depth = depth};
  block.a = a.data(), block.a_row = transposed ? 1 : depth, block.a_depth = transposed ? rows : 1;
  block.b = b.data(), block.b_depth = padded;
  block.c = c.data(), block.c_row = padded;
  kernels::gemm_accumulate<T, Arch>(block);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      T expected = before[i * padded + j];
      for (std::int64_t k = 0; k < depth; ++k)
        expected += a[i * block.a_row + k * block.a_depth] * b[k * padded + j];
      REQUIRE(c[i * padded + j] == expected);
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("the product of a block is that of its definition", Arch, kernels::simd::Scalar,
                   kernels::simd::Native) {
  for (const std::int64_t rows : {0, 1, 3, 5, 12, 13, 48})
    for (const std::int64_t columns : {1, 4, 7, 16, 23, 33, 64, 81, 97})
      for (const std::int64_t depth : {0, 1, 9, 31})
        for (const bool transposed : {false, true}) {
          check<float, Arch>(rows, columns, depth, transposed);
          check<double, Arch>(rows, columns, depth, transposed);
        }
}
