// The fused CUDA kernel of deformable convolution, executed on the CPU, against the definition.
//
// Tensor cores are replaced by plain products of the same tiles.
#include <doctest/doctest.h>

#include "kernels/cuda_on_cpu.hpp"
#include "kernels/deform_conv_definition.hpp"
// After cuda_on_cpu.hpp.
#include "deeplight/kernels/deform_conv_fused.cuh"

namespace on_cpu = deeplight::cuda_on_cpu;
using namespace deeplight::kernels;
using deeplight::plain::DeformCase;
using deeplight::plain::make_deform_case;

namespace {

// As T holds it.
template <class T>
void round_to(std::vector<double>& values) {
  for (double& value : values) value = double(Wide<T>(T(Wide<T>(value))));
}

template <class T>
void append(std::vector<T>& to, const std::vector<double>& values) {
  for (const double value : values) to.push_back(T(Wide<T>(value)));
}

// Sum of |a| |b|, what errors are measured by.
double magnitude(const DeformCase& made, std::int64_t o, std::int64_t p) {
  const std::int64_t depth = made.g.channels / made.groups,
                     group = o / (made.outputs / made.groups);
  double sum = 1e-3;
  for (std::int64_t c = 0; c < depth; ++c)
    for (std::int64_t tap = 0; tap < made.g.taps(); ++tap)
      sum += std::abs(made.weight[(o * depth + c) * made.g.taps() + tap] *
                      made.sampled(group * depth + c, tap, p));
  return sum;
}

// A batch of cases of one geometry and one set of weights; the worst error relative to `magnitude`.
template <class T, bool tensor_cores>
double worst(std::vector<DeformCase> batch, bool biased, on_cpu::Order order) {
  const DeformCase& made = batch[0];
  const DeformGeometry& g = made.g;
  std::vector<T> image, offset, mask, weight, bias;
  for (DeformCase& sample : batch) {
    sample.weight = batch[0].weight;
    for (auto* values : {&sample.image, &sample.offset, &sample.mask, &sample.weight})
      round_to<T>(*values);
    append(image, sample.image), append(offset, sample.offset), append(mask, sample.mask);
  }
  const DeformFusion f{std::int64_t(batch.size()), made.groups, made.outputs / made.groups,
                       g.channels / made.groups};
  for (std::int64_t group = 0; group < f.groups; ++group)
    for (std::int64_t tap = 0; tap < g.taps(); ++tap)
      for (std::int64_t o = 0; o < f.outputs; ++o)
        for (std::int64_t c = 0; c < f.depth; ++c)
          append(weight, {made.weight[((group * f.outputs + o) * f.depth + c) * g.taps() + tap]});
  for (std::int64_t o = 0; biased && o < made.outputs; ++o) append(bias, {double(o % 8) / 4});
  std::vector<T> out(f.batch * made.outputs * g.positions(), T(-7));
  on_cpu::launch({3, 1, 1}, {product_threads, 1, 1}, sizeof(DeformFusedMemory<T>), order, [&] {
    deform_fused_kernel<T, tensor_cores>(g, f, image.data(), offset.data(),
                                         mask.empty() ? nullptr : mask.data(), weight.data(),
                                         bias.empty() ? nullptr : bias.data(), out.data());
  });
  double most = 0;
  for (std::int64_t b = 0; b < f.batch; ++b)
    for (std::int64_t o = 0; o < made.outputs; ++o)
      for (std::int64_t p = 0; p < g.positions(); ++p) {
        const double expected = batch[b].out(o, p) + (biased ? double(o % 8) / 4 : 0.0);
        const double ours = double(out[(b * made.outputs + o) * g.positions() + p]);
        const double apart = std::abs(ours - expected);
        if (!(apart < 1e30)) return 1e30;
        most = std::max(most, apart / (magnitude(batch[b], o, p) + (biased ? 1 : 0)));
      }
  return most;
}

struct Sizes {
  std::int64_t channels, groups, offset_groups, outputs, height, width;
};

// Below, at and beyond the block's sizes; offset groups that cross the groups of the convolution.
const Sizes sizes[] = {
    {1, 1, 1, 1, 1, 1}, {5, 1, 1, 3, 8, 17}, {18, 3, 2, 6, 9, 15}, {37, 1, 1, 70, 7, 9}};

std::vector<DeformCase> make(const Sizes& s, unsigned seed, bool modulated) {
  std::vector<DeformCase> batch;
  for (unsigned i = 0; i < 2; ++i) {
    batch.push_back(make_deform_case(seed + i, s.channels, s.groups, s.offset_groups, s.outputs,
                                     s.height, s.width, 3));
    if (!modulated) batch.back().mask.clear();
  }
  return batch;
}

}  // namespace

TEST_CASE("CUDA on the CPU: fused deformable convolution is the definition, in float32") {
  unsigned seed = 0;
  for (const Sizes& s : sizes) {
    seed += 10;
    for (const auto order : on_cpu::orders) {
      const bool modulated = order != on_cpu::Order::forward;
      CHECK(worst<float, false>(make(s, seed, modulated), modulated, order) < 2e-6);
      CHECK(worst<float, true>(make(s, seed, modulated), modulated, order) < 2e-6);
    }
  }
}

TEST_CASE("CUDA on the CPU: fused deformable convolution of bfloat16 sums in float32") {
  // Columns and results are rounded once each, to 8 bits.
  for (const Sizes& s : sizes)
    CHECK(worst<on_cpu::Brief, true>(make(s, 77, true), false, on_cpu::Order::shuffled) <
          1.01 / 128);
}

TEST_CASE("CUDA on the CPU: what the fused kernel samples nowhere is zero, whatever stands there") {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity(), -1e30, 1e9, 100.0}) {
    auto batch = make(sizes[1], 5, true);
    for (auto& made : batch)
      for (double& value : made.offset) value = bad;
    CHECK(worst<float, false>(batch, false, on_cpu::Order::forward) == 0);
  }
  CHECK(sizeof(DeformFusedMemory<float>) <= 48 * 1024);
}
