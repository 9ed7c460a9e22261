#include "deeplight/kernels/transpose_cpu.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

namespace kernels = deeplight::kernels;

TEST_CASE_TEMPLATE("transposition of every size, walked along either side, streamed or not", T,
                   float, double) {
  for (const std::int64_t rows : {1, 3, 4, 9, 16, 31, 32, 35})
    for (const std::int64_t columns : {1, 4, 7, 8, 16, 21, 32})
      for (const int way : {0, 1, 2, 3}) {
        // Strides beyond the sizes; room for results that begin at a line of the cache.
        const std::int64_t from_row = columns + 3, to_row = 48, line = 64 / sizeof(T);
        std::vector<T> from(rows * from_row), room(columns * to_row + line, T(-1));
        for (std::size_t i = 0; i < from.size(); ++i) from[i] = T(i);
        T* to = room.data();
        while (reinterpret_cast<std::uintptr_t>(to) % 64) ++to;
        kernels::transpose(from.data(), from_row, to, to_row, rows, columns, way % 2 == 1, way > 1);
        kernels::streamed_lines_written();
        for (std::int64_t j = 0; j < columns; ++j)
          for (std::int64_t i = 0; i < to_row; ++i)
            REQUIRE(to[j * to_row + i] == (i < rows ? from[i * from_row + j] : T(-1)));
      }
}
