// Two sizes of a 2-D operator: rows, columns.
#pragma once

#include <array>
#include <cstdint>

namespace deeplight::functional {

/// Rows, columns.
using Pair = std::array<std::int64_t, 2>;

}  // namespace deeplight::functional
