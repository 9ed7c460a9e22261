#include "deeplight/kernels/deform_conv_backward_cpu.hpp"

#include <doctest/doctest.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/deform_conv_definition.hpp"

namespace kernels = deeplight::kernels;
using deeplight::plain::DeformCase;
using deeplight::plain::make_deform_case;
using kernels::DeformGeometry;

namespace {

// Exactly as large as promised, so that AddressSanitizer sees every step too far.
template <class Arch>
struct Run {
  const DeformCase& of;
  std::vector<double> padded, packed, transposed;
  std::int64_t outputs_padded, weight_row;

  explicit Run(const DeformCase& made) : of(made) {
    const DeformGeometry& g = made.g;
    const std::int64_t row = (g.width + 2) * g.channels, depth = g.channels / made.groups;
    const std::int64_t per_group = made.outputs / made.groups;
    padded.assign((g.height + 2) * row + kernels::deform_slack, 0);
    kernels::DeformPadding<double> task{
        g.channels, g.height,      g.width, made.image.data(), g.height * g.width, g.width,
        1,          padded.data(), row};
    kernels::deform_pad<double, Arch>(task, 0, g.height + 2);
    outputs_padded = (per_group + 15) / 16 * 16;
    weight_row = (g.taps() * depth + 15) / 16 * 16 + 16;
    packed.assign(made.groups * g.taps() * depth * outputs_padded, 0);
    transposed.assign(made.outputs * weight_row, 0);
    for (std::int64_t o = 0; o < made.outputs; ++o)
      for (std::int64_t c = 0; c < depth; ++c)
        for (std::int64_t tap = 0; tap < g.taps(); ++tap) {
          const double value = made.weight[(o * depth + c) * g.taps() + tap];
          packed[((o / per_group * g.taps() + tap) * depth + c) * outputs_padded + o % per_group] =
              value;
          transposed[o * weight_row + tap * depth + c] = value;
        }
  }

  void describe(kernels::DeformSample<double>& sample) const {
    sample.geometry = of.g, sample.groups = of.groups, sample.outputs = of.outputs;
    sample.image = padded.data(), sample.image_row = (of.g.width + 2) * of.g.channels;
    sample.offset = of.offset.data(), sample.mask = of.mask.data();
  }

  std::int64_t blocks() const { return kernels::DeformBlocks(of.g).count(); }

  std::vector<double> forward(bool channels_last) const {
    std::vector<double> out(of.outputs * of.g.positions());
    kernels::DeformForward<double> f;
    describe(f);
    f.weight = packed.data(), f.out = out.data();
    f.out_channel = channels_last ? 1 : of.g.positions();
    f.out_position = channels_last ? of.outputs : 1;
    kernels::deform_forward<double, Arch>(f, 0, blocks());
    return out;
  }

  struct Gradients {
    std::vector<double> image, offset, mask, weight;
  };

  Gradients backward(const std::vector<double>& grad) const {
    const DeformGeometry& g = of.g;
    Gradients found;
    found.image.resize(of.image.size()), found.offset.resize(of.offset.size());
    found.mask.resize(of.mask.size());
    found.weight.assign(packed.size(), 0);
    std::vector<double> bias(of.groups * outputs_padded, 0);
    kernels::DeformBackward<double> f;
    describe(f);
    const auto rows = kernels::deform_rows<double, Arch>(f, 0, blocks());
    const std::int64_t height = rows.last < rows.first ? 0 : rows.last - rows.first + 1;
    std::vector<double> slab(height * f.image_row, 0);
    f.weight = transposed.data(), f.weight_row = weight_row;
    f.grad = grad.data(), f.grad_channel = g.positions();
    f.slab = slab.data(), f.slab_first = rows.first;
    f.grad_offset = found.offset.data(), f.grad_mask = found.mask.data();
    f.grad_weight = found.weight.data(), f.grad_bias = bias.data();
    kernels::deform_backward<double, Arch>(f, 0, blocks());
    const double* slabs[] = {slab.data()};
    kernels::DeformGather<double> gather{1,
                                         slabs,
                                         &rows,
                                         f.image_row,
                                         g.channels,
                                         g.width,
                                         found.image.data(),
                                         g.height * g.width,
                                         g.width,
                                         1};
    kernels::deform_gather<double, Arch>(gather, 0, g.height);
    return found;
  }
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

TEST_CASE_TEMPLATE("forward is the definition, in both layouts", Arch, kernels::simd::Scalar,
                   kernels::simd::Native) {
  unsigned seed = 0;
  for (const auto& [groups, offset_groups, channels, outputs] :
       {std::array<std::int64_t, 4>{1, 1, 5, 3}, {2, 3, 6, 4}, {3, 2, 18, 51}, {1, 1, 37, 20}}) {
    for (const std::int64_t side : {1, 5, 11}) {
      const DeformCase made =
          make_deform_case(++seed, channels, groups, offset_groups, outputs, side, 7, 3);
      const Run<Arch> run(made);
      const auto rows = run.forward(false), last = run.forward(true);
      for (std::int64_t o = 0; o < outputs; ++o)
        for (std::int64_t p = 0; p < made.g.positions(); ++p) {
          REQUIRE(rows[o * made.g.positions() + p] ==
                  doctest::Approx(made.out(o, p)).epsilon(1e-12).scale(10));
          REQUIRE(last[p * outputs + o] == rows[o * made.g.positions() + p]);
        }
    }
  }
}

TEST_CASE_TEMPLATE("blocks of every width are the definition, in both layouts", Arch,
                   kernels::simd::Scalar, kernels::simd::Native) {
  // Results 1, 16, 17, 32 and 41 wide: one column, whole blocks, and what is left of them.
  for (const std::int64_t width : {1, 31, 32, 62, 80}) {
    const DeformCase made = make_deform_case(unsigned(width), 16, 1, 1, 16, 7, width, 3);
    const Run<Arch> run(made);
    const auto rows = run.forward(false), last = run.forward(true);
    for (std::int64_t o = 0; o < made.outputs; ++o)
      for (std::int64_t p = 0; p < made.g.positions(); ++p) {
        REQUIRE(rows[o * made.g.positions() + p] ==
                doctest::Approx(made.out(o, p)).epsilon(1e-12).scale(10));
        REQUIRE(last[p * made.outputs + o] == rows[o * made.g.positions() + p]);
      }
  }
}

TEST_CASE_TEMPLATE("gradients are those of finite differences", Arch, kernels::simd::Scalar,
                   kernels::simd::Native) {
  DeformCase made = make_deform_case(9, 18, 3, 2, 6, 5, 35, 2);
  std::vector<double> grad(made.outputs * made.g.positions());
  for (std::size_t i = 0; i < grad.size(); ++i) grad[i] = std::sin(double(i) + 1);
  const auto found = Run<Arch>(made).backward(grad);
  const double step = 1e-6;
  const auto check = [&](std::vector<double>& values, const std::vector<double>& analytic) {
    for (std::size_t i = 0; i < values.size(); i += 13) {
      const double before = values[i];
      values[i] = before + step;
      const double above = dot(Run<Arch>(made).forward(false), grad);
      values[i] = before - step;
      const double below = dot(Run<Arch>(made).forward(false), grad);
      values[i] = before;
      CHECK(analytic[i] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-5).scale(1));
    }
  };
  check(made.image, found.image);
  check(made.offset, found.offset);
  check(made.mask, found.mask);
}

TEST_CASE_TEMPLATE("a point outside, or nowhere, samples zero and has no gradient", Arch,
                   kernels::simd::Scalar, kernels::simd::Native) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity(), -1e300, 1e300, 1e9, -1e9, 100.0, -100.0}) {
    DeformCase made = make_deform_case(4, 3, 1, 1, 2, 5, 5, 0);
    for (double& value : made.offset) value = bad;
    const Run<Arch> run(made);
    for (const double value : run.forward(false)) REQUIRE(value == 0);
    const auto found = run.backward(std::vector<double>(2 * made.g.positions(), 1));
    for (const auto* values : {&found.image, &found.offset, &found.mask})
      for (const double value : *values) REQUIRE(value == 0);
  }
}

TEST_CASE("the fraction of an offset survives a distant position") {
  // 100000 + 0.001 has lost most of the fraction in float32.
  const auto axis = kernels::DeformAxis<float>::at(100000, 0.001F, 200000);
  CHECK(axis.inside == 1);
  CHECK(axis.pixel == 100000);
  CHECK(axis.fraction == 0.001F);
  CHECK(kernels::DeformAxis<float>::at(0, -1.0F, 5).inside == 0);
  CHECK(kernels::DeformAxis<float>::at(0, -0.999F, 5).inside == 1);
  CHECK(kernels::DeformAxis<float>::at(0, 5.0F, 5).inside == 0);
  CHECK(kernels::DeformAxis<float>::at(0, 4.999F, 5).inside == 1);
}

#if defined(__linux__)
TEST_CASE("rows more than 2^31 elements apart") {
  // Address space without memory behind it: only the pages that are touched exist.
  const std::int64_t row = (std::int64_t(1) << 31) + 4096, count = 3 * row + 64;
  void* space = mmap(nullptr, count * sizeof(float), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(space != MAP_FAILED);
  auto* image = static_cast<float*>(space);
  image[row + 1] = 7;  // the only pixel, inside its border
  DeformGeometry g;
  g.channels = g.height = g.width = g.kernel_h = g.kernel_w = g.out_height = g.out_width = 1;
  std::vector<float> offset{0.25F, 0.5F}, out(1), weight(16);
  weight[0] = 2;
  kernels::DeformForward<float> f;
  f.geometry = g, f.outputs = 1, f.image = image, f.image_row = row, f.offset = offset.data();
  f.weight = weight.data(), f.out = out.data(), f.out_channel = 1;
  kernels::deform_forward<float, kernels::simd::Native>(f, 0, 1);
  CHECK(out[0] == 2 * 7 * 0.75F * 0.5F);
  munmap(space, count * sizeof(float));
}
#endif
