// One axis of a convolution or of a transposed one, as phases that read consecutive input pixels.
#pragma once

#include <cstdint>

#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {

struct ConvolutionAxis {
  std::int64_t in = 1, out = 1;
  std::int64_t kernel = 1, stride = 1, padding = 0;
  bool transposed = false;

  /// Outputs first_output + q * output_step, q < count, read inputs q * input_step + start + t,
  /// t < taps, each with the kernel's element first_tap + t * tap_step.
  struct Phase {
    std::int64_t first_output = 0, output_step = 1, count = 0;
    std::int64_t start = 0, input_step = 1;
    std::int64_t taps = 0, first_tap = 0, tap_step = 1;
  };

  // Inlined always: sources of several instruction sets include this (see kernels/simd.hpp).
  DEEPLIGHT_ALWAYS_INLINE std::int64_t phases() const { return transposed ? stride : 1; }

  DEEPLIGHT_ALWAYS_INLINE Phase phase(std::int64_t index) const {
    if (!transposed) return {0, 1, out, -padding, stride, kernel, 0, 1};
    Phase phase;
    phase.first_output = index;
    phase.output_step = stride;
    phase.count = index < out ? (out - index - 1) / stride + 1 : 0;
    const std::int64_t nearest = (index + padding) % stride;
    phase.taps = nearest < kernel ? (kernel - nearest - 1) / stride + 1 : 0;
    phase.start = (index + padding - nearest) / stride - (phase.taps - 1);
    phase.first_tap = nearest + (phase.taps - 1) * stride;
    phase.tap_step = -stride;
    return phase;
  }

  /// Input pixels read before the first.
  DEEPLIGHT_ALWAYS_INLINE std::int64_t before() const {
    std::int64_t low = 0;
    for (std::int64_t index = 0; index < phases(); ++index) {
      const std::int64_t start = phase(index).start;
      low = start < low ? start : low;
    }
    return -low;
  }

  /// One past the last input that the first output of any phase reads.
  DEEPLIGHT_ALWAYS_INLINE std::int64_t reach() const {
    std::int64_t high = 0;
    for (std::int64_t index = 0; index < phases(); ++index) {
      const Phase p = phase(index);
      high = p.start + p.taps > high ? p.start + p.taps : high;
    }
    return high;
  }

  /// Input pixels read after the last.
  DEEPLIGHT_ALWAYS_INLINE std::int64_t after() const {
    std::int64_t high = in;
    for (std::int64_t index = 0; index < phases(); ++index) {
      const Phase p = phase(index);
      const std::int64_t last = (p.count - 1) * p.input_step + p.start + p.taps;
      if (p.count > 0 && last > high) high = last;
    }
    return high - in;
  }
};

}  // namespace deeplight::kernels
