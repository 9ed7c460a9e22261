// A parallel loop handed in from outside, so that kernels know no thread library and the thread
// count of the program (torch's, say) rules.
#pragma once

#include <cstdint>

namespace deeplight {

/// Calls body(first, last) over parts of [begin, end), in any order and on any threads.
///
/// Plain function pointers, because it crosses into sources that are compiled for other instruction
/// sets (kernels/simd.hpp). Kernels must not depend on how the range is cut.
struct ParallelFor {
  using Body = void (*)(const void* context, std::int64_t first, std::int64_t last);
  void (*run)(std::int64_t begin, std::int64_t end, Body body, const void* context) = nullptr;

  template <class F>
  void operator()(std::int64_t begin, std::int64_t end, const F& body) const {
    if (begin >= end) return;
    run(
        begin, end,
        [](const void* context, std::int64_t first, std::int64_t last) {
          (*static_cast<const F*>(context))(first, last);
        },
        &body);
  }
};

/// Everything on the calling thread.
inline ParallelFor sequential() {
  return {[](std::int64_t begin, std::int64_t end, ParallelFor::Body body, const void* context) {
    body(context, begin, end);
  }};
}

}  // namespace deeplight
