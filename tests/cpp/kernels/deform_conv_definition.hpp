// Deformable convolution by its definition, in double: the oracle of the CPU's and CUDA's kernels.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "deeplight/kernels/deform_point.hpp"

namespace deeplight::plain {

/// Everything that one sample needs, with the definition of the operator beside it.
struct DeformCase {
  kernels::DeformGeometry g;
  std::int64_t groups, outputs;
  std::vector<double> image, offset, mask, weight;  // weight [outputs, C/groups, K]; mask or empty

  const double* masked() const { return mask.empty() ? nullptr : mask.data(); }

  double at(std::int64_t c, std::int64_t y, std::int64_t x) const {
    if (y < 0 || y >= g.height || x < 0 || x >= g.width) return 0;
    return image[(c * g.height + y) * g.width + x];
  }

  double sampled(std::int64_t c, std::int64_t tap, std::int64_t p) const {
    const std::int64_t group = c / g.channels_per_group(), slot = group * g.taps() + tap;
    const double y = double(p / g.out_width * g.stride_h + tap / g.kernel_w * g.dilation_h) -
                     g.pad_h + offset[2 * slot * g.positions() + p];
    const double x = double(p % g.out_width * g.stride_w + tap % g.kernel_w * g.dilation_w) -
                     g.pad_w + offset[(2 * slot + 1) * g.positions() + p];
    if (!(y > -1 && y < g.height && x > -1 && x < g.width)) return 0;
    const auto y0 = std::int64_t(std::floor(y)), x0 = std::int64_t(std::floor(x));
    const double ly = y - y0, lx = x - x0;
    const double scale = mask.empty() ? 1.0 : mask[slot * g.positions() + p];
    return scale * ((1 - ly) * ((1 - lx) * at(c, y0, x0) + lx * at(c, y0, x0 + 1)) +
                    ly * ((1 - lx) * at(c, y0 + 1, x0) + lx * at(c, y0 + 1, x0 + 1)));
  }

  double out(std::int64_t o, std::int64_t p) const {
    const std::int64_t depth = g.channels / groups, group = o / (outputs / groups);
    double sum = 0;
    for (std::int64_t c = 0; c < depth; ++c)
      for (std::int64_t tap = 0; tap < g.taps(); ++tap)
        sum += weight[(o * depth + c) * g.taps() + tap] * sampled(group * depth + c, tap, p);
    return sum;
  }
};

/// Gradients of sum(grad * out), and the sums of |a| |b| that their errors are measured by.
struct DeformGradients {
  std::vector<double> image, offset, mask, weight;
};

struct DeformGradientsOf {
  DeformGradients exact, magnitude;

  /// grad [outputs, positions].
  DeformGradientsOf(const DeformCase& made, const std::vector<double>& grad) {
    const auto& g = made.g;
    for (DeformGradients* each : {&exact, &magnitude}) {
      each->image.resize(made.image.size()), each->offset.resize(made.offset.size());
      each->mask.resize(made.mask.size()), each->weight.resize(made.weight.size());
    }
    const std::int64_t depth = g.channels / made.groups, per_group = made.outputs / made.groups;
    for (std::int64_t c = 0; c < g.channels; ++c)
      for (std::int64_t tap = 0; tap < g.taps(); ++tap)
        for (std::int64_t p = 0; p < g.positions(); ++p) {
          double sum = 0, size = 0;
          for (std::int64_t i = 0; i < per_group; ++i) {
            const std::int64_t o = c / depth * per_group + i;
            const std::int64_t at = (o * depth + c % depth) * g.taps() + tap;
            const double above = grad[o * g.positions() + p];
            sum += made.weight[at] * above, size += std::abs(made.weight[at] * above);
            add(&DeformGradients::weight, at, above * made.sampled(c, tap, p));
          }
          neighbours(made, c, tap, p, sum, size);
        }
  }

 private:
  void add(std::vector<double> DeformGradients::* member, std::int64_t at, double value) {
    (exact.*member)[at] += value, (magnitude.*member)[at] += std::abs(value);
  }

  void neighbours(const DeformCase& made, std::int64_t c, std::int64_t tap, std::int64_t p,
                  double sum, double size) {
    const auto& g = made.g;
    const std::int64_t slot = c / g.channels_per_group() * g.taps() + tap, all = g.positions();
    const double y = double(p / g.out_width * g.stride_h + tap / g.kernel_w * g.dilation_h) -
                     g.pad_h + made.offset[2 * slot * all + p];
    const double x = double(p % g.out_width * g.stride_w + tap % g.kernel_w * g.dilation_w) -
                     g.pad_w + made.offset[(2 * slot + 1) * all + p];
    if (!(y > -1 && y < g.height && x > -1 && x < g.width)) return;
    const double scale = made.mask.empty() ? 1.0 : made.mask[slot * all + p];
    for (int k = 0; k < 4; ++k) {
      const double row = std::floor(y) + k / 2, column = std::floor(x) + k % 2;
      if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
      const double wy = 1 - std::abs(y - row), wx = 1 - std::abs(x - column);
      const std::int64_t at = (c * g.height + std::int64_t(row)) * g.width + std::int64_t(column);
      const double pixel = made.image[at];
      const auto both = [&](std::vector<double> DeformGradients::* member, std::int64_t to,
                            double factor) {
        (exact.*member)[to] += sum * factor, (magnitude.*member)[to] += size * std::abs(factor);
      };
      both(&DeformGradients::image, at, scale * wy * wx);
      both(&DeformGradients::offset, 2 * slot * all + p, (k / 2 ? 1 : -1) * wx * scale * pixel);
      both(&DeformGradients::offset, (2 * slot + 1) * all + p,
           (k % 2 ? 1 : -1) * wy * scale * pixel);
      if (!made.mask.empty()) both(&DeformGradients::mask, slot * all + p, wy * wx * pixel);
    }
  }
};

/// Kernel 3 x 2, stride (1, 2), padding (2, 1), dilation (2, 1); offsets up to `reach`.
inline DeformCase make_deform_case(unsigned seed, std::int64_t channels, std::int64_t groups,
                                   std::int64_t offset_groups, std::int64_t outputs,
                                   std::int64_t height, std::int64_t width, double reach) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  DeformCase made{{}, groups, outputs, {}, {}, {}, {}};
  kernels::DeformGeometry& g = made.g;
  g.channels = channels, g.height = height, g.width = width, g.offset_groups = offset_groups;
  g.kernel_h = 3, g.kernel_w = 2, g.pad_h = 2, g.pad_w = 1, g.stride_w = 2, g.dilation_h = 2;
  g.out_height = height + 4 - 4, g.out_width = (width + 2 - 2) / 2 + 1;
  const auto fill = [&](std::vector<double>& values, std::int64_t count, double scale) {
    values.resize(count);
    for (double& value : values) value = scale * uniform(generator);
  };
  fill(made.image, channels * height * width, 1);
  fill(made.offset, 2 * offset_groups * g.taps() * g.positions(), reach);
  fill(made.mask, offset_groups * g.taps() * g.positions(), 1);
  fill(made.weight, outputs * channels / groups * g.taps(), 1);
  return made;
}

}  // namespace deeplight::plain
