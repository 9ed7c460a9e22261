// What a safetensors header may claim before it is refused.
#pragma once

#include <cstddef>
#include <cstdint>

namespace deeplight {

/// Limits that keep a hostile header from costing memory or time.
struct SafetensorsLimits {
  static constexpr std::uint64_t header_bytes = std::uint64_t{16} << 20;
  static constexpr std::size_t tensors = 10000;
  static constexpr std::size_t rank = 16;
  static constexpr int nesting = 8;
};

}  // namespace deeplight
