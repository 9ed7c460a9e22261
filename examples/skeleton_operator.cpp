// The smallest complete operator, to copy: out[b, c, y, x] = gain[c] * image[b, c, y, x].
//
// It stands in one file so that it can be read in one go; each part names the file it belongs to
// once "gain" is the name of an operator of the library (see CONTRIBUTING.md). Run alone, it tests
// itself, times itself against PyTorch and prints both.
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/on_large_pages.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/kernels/by_type.hpp"
#include "deeplight/kernels/simd.hpp"

// --- kernels/gain_cpu.hpp: raw pointers, no torch, a range of independent items ------------------
namespace deeplight::kernels {

/// Planes of `size` numbers, one after the other, `channels` to an image.
struct GainGeometry {
  std::int64_t channels = 0, size = 0;
};

/// The kernels of one instruction set. Outside of the tagged namespace: it crosses sources.
template <class T>
struct GainTable {
  void (*forward)(const GainGeometry&, const T* image, const T* gain, T* out, std::int64_t begin,
                  std::int64_t end);
};
using GainTables = ByType<GainTable>;

inline namespace DEEPLIGHT_SIMD_TAG {

/// Planes [begin, end) of the batch.
template <class T, class Arch>
void gain_forward(const GainGeometry& g, const T* image, const T* gain, T* out, std::int64_t begin,
                  std::int64_t end) {
  using Pack = simd::Pack<T, Arch>;
  for (std::int64_t plane = begin; plane < end; ++plane) {
    const T factor = gain[plane % g.channels];
    const T* from = image + plane * g.size;
    T* to = out + plane * g.size;
    std::int64_t i = 0;
    for (; i + Pack::width <= g.size; i += Pack::width)
      (Pack::all(factor) * Pack::load(from + i)).store(to + i);
    for (; i < g.size; ++i) to[i] = factor * from[i];
  }
}

template <class Arch>
constexpr GainTables gain_table() {
  return {{&gain_forward<float, Arch>}, {&gain_forward<double, Arch>}};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels

// --- functional/gain.hpp, gain_inl.hpp: shapes are checked, memory is made, threads are PyTorch's
namespace deeplight::functional {

/// The same from plain operations: the oracle of the kernels, differentiable any number of times.
at::Tensor gain_reference(const at::Tensor& image, const at::Tensor& gain) {
  return image * gain.view({-1, 1, 1});
}

at::Tensor gain_cpu(const kernels::GainTables& tables, const at::Tensor& image,
                    const at::Tensor& gain) {
  require(image.dim() == 4, "gain: image must be [B, C, H, W], got ", image.sizes());
  require(gain.dim() == 1 && gain.size(0) == image.size(1), "gain: gain is ", gain.sizes(),
          ", expected [", image.size(1), "]");
  require(gain.scalar_type() == image.scalar_type(), "gain: gain is ", gain.scalar_type(),
          ", expected the image's ", image.scalar_type());
  const auto planes = image.contiguous(), factors = gain.contiguous();
  auto out = detail::on_large_pages(at::empty(planes.sizes(), planes.options()));
  const kernels::GainGeometry g{image.size(1), image.size(2) * image.size(3)};
  AT_DISPATCH_FLOATING_TYPES(image.scalar_type(), "gain", [&] {
    const auto& table = tables.of<scalar_t>();
    const auto* from = planes.const_data_ptr<scalar_t>();
    const auto* by = factors.const_data_ptr<scalar_t>();
    auto* to = out.mutable_data_ptr<scalar_t>();
    torch_parallel_for(0, image.size(0) * g.channels, 1, [&](std::int64_t begin, std::int64_t end) {
      table.forward(g, from, by, to, begin, end);
    });
  });
  return out;
}

}  // namespace deeplight::functional

// --- bindings/torch/gain_op.cpp: schema, kernels by device, fake kernel, autograd ----------------
namespace deeplight::functional {
namespace {

at::Tensor call(const at::Tensor& image, const at::Tensor& gain) {
  static const auto handle =
      c10::Dispatcher::singleton().findSchemaOrThrow("skeleton::gain", "").typed<decltype(call)>();
  return handle.call(image, gain);
}

// In the library DEEPLIGHT_SIMD_DISPATCH picks the table of the instruction set in use.
at::Tensor forward_cpu(const at::Tensor& image, const at::Tensor& gain) {
  static constexpr auto native = kernels::gain_table<kernels::simd::Native>();
  return gain_cpu(native, image, gain);
}

at::Tensor forward_fake(const at::Tensor& image, const at::Tensor&) {
  return at::empty_symint(image.sym_sizes(), image.options());
}

struct GainFunction : torch::autograd::Function<GainFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& image,
                            const at::Tensor& gain) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({image, gain});
    return call(image, gain);
  }
  // Both from operations that can be differentiated again.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    return {call(grads[0], saved[1]), (grads[0] * saved[0]).sum({0, 2, 3})};
  }
};

at::Tensor forward_autograd(const at::Tensor& image, const at::Tensor& gain) {
  return GainFunction::apply(image, gain);
}

}  // namespace
}  // namespace deeplight::functional

TORCH_LIBRARY(skeleton, library) {
  library.def("gain(Tensor image, Tensor gain) -> Tensor");
}
TORCH_LIBRARY_IMPL(skeleton, CPU, library) {
  library.impl("gain", &deeplight::functional::forward_cpu);
}
// Devices without a kernel of ours.
TORCH_LIBRARY_IMPL(skeleton, CompositeExplicitAutograd, library) {
  library.impl("gain", &deeplight::functional::gain_reference);
}
TORCH_LIBRARY_IMPL(skeleton, Meta, library) {
  library.impl("gain", &deeplight::functional::forward_fake);
}
TORCH_LIBRARY_IMPL(skeleton, Autograd, library) {
  library.impl("gain", &deeplight::functional::forward_autograd);
}

// --- tests/cpp/kernels/gain_test.cpp, tests/python/test_gain.py: both instruction sets, gradients
namespace {

using namespace deeplight;

double largest_error(const at::Tensor& ours, const at::Tensor& expected) {
  return (ours - expected).abs().max().item<double>();
}

double test() {
  const auto image = at::randn({2, 3, 5, 7}, at::kDouble).set_requires_grad(true);
  const auto gain = at::randn({3}, at::kDouble).set_requires_grad(true);
  const auto expected = functional::gain_reference(image, gain);
  const auto out = functional::call(image, gain);
  static constexpr auto scalar = kernels::gain_table<kernels::simd::Scalar>();
  double worst = std::max(largest_error(out, expected),
                          largest_error(functional::gain_cpu(scalar, image, gain), expected));
  const auto above = at::randn_like(out);
  const auto ours = torch::autograd::grad({out}, {image, gain}, {above});
  const auto theirs = torch::autograd::grad({expected}, {image, gain}, {above});
  for (std::size_t i = 0; i < ours.size(); ++i)
    worst = std::max(worst, largest_error(ours[i], theirs[i]));
  try {
    functional::call(image, at::ones({4}, at::kDouble));
    return std::numeric_limits<double>::infinity();  // a wrong shape must be an error
  } catch (const InvalidArgument&) {
    return worst;
  }
}

// --- benchmarks/gain.py: the least of several interleaved rounds, own against rival -------------
template <class Run>
double seconds(const Run& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double ratio() {
  const at::AutoDispatchBelowADInplaceOrView below;
  const auto image = at::randn({1, 32, 256, 256}), gain = at::randn({32});
  double own = 1e9, rival = 1e9;
  for (int round = 0; round < 10; ++round) {
    own = std::min(own, seconds([&] { functional::call(image, gain); }));
    rival = std::min(rival, seconds([&] { functional::gain_reference(image, gain); }));
  }
  return rival / own;
}

}  // namespace

int main() {
  std::printf("largest error %g\n", test());
  std::printf("times as fast as PyTorch %.2f\n", ratio());
  return 0;
}
