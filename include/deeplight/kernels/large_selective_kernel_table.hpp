// The backward pass of the large selective kernel over whole samples, and the kernels' table.
#pragma once

#include <cstdint>

#include "deeplight/kernels/large_selective_kernel_backward_cpu.hpp"
#include "deeplight/kernels/workspace.hpp"

namespace deeplight::kernels {
inline namespace DEEPLIGHT_SIMD_TAG {
namespace selective_detail {

/// to[o] = bias[o] + sum over i of from[i] convolved with its kernel, for two planes each.
/// @param turned  the transposed convolution: kernel (i, o) turned by 180 degrees, no bias
template <class T, class Arch>
void convolve_planes(const SelectiveGeometry& g, const T* from, const T* selection, const T* bias,
                     bool turned, T* to, const ParallelFor& parallel) {
  constexpr std::int64_t width = simd::Pack<T, Arch>::width, band = 32;
  const std::int64_t taps = g.selection.taps(), bands = (g.height + band - 1) / band;
  const std::int64_t pitch = g.width + g.selection.reach_w() + width;
  parallel(0, bands, [&](std::int64_t begin, std::int64_t end) {
    Workspace<T> block_space, kernel_space;
    T* kernel = kernel_space.of(taps);
    for (std::int64_t item = begin; item < end; ++item) {
      Correlation<T> step;
      step.kernel = g.selection;
      step.rows = smaller(band, g.height - item * band), step.columns = g.width;
      const std::int64_t rows = step.rows + g.selection.reach_h();
      T* block = block_space.of(2 * rows * pitch + width);
      for (int i = 0; i < 2; ++i)
        copy_padded(from + i * g.area(), g.width, g.height, g.width,
                    item * band - g.selection.reach_h() / 2, -(g.selection.reach_w() / 2), rows,
                    pitch, block + i * rows * pitch, pitch);
      step.source_row = pitch;
      step.weights = kernel;
      step.target_row = g.width;
      for (int o = 0; o < 2; ++o)
        for (int i = 0; i < 2; ++i) {
          const T* weights = selection + (turned ? i * 2 + o : o * 2 + i) * taps;
          for (std::int64_t t = 0; t < taps; ++t) kernel[t] = weights[turned ? taps - 1 - t : t];
          step.bias = bias ? bias + o : nullptr;
          step.add = i == 1;
          step.source = block + i * rows * pitch;
          step.target = to + o * g.area() + item * band * g.width;
          correlate<T, Arch, false>(step);
        }
    }
  });
}

/// visit(pass, pixel, columns, sums) for every piece of every row, rows in `parts` parts.
template <class T, class Arch, class Visit>
void for_each_piece(const SelectiveGeometry& g, const SelectiveWeights<const T>& w,
                    const SampleState<T>& state, std::int64_t parts, double* sums,
                    const ParallelFor& parallel, const Visit& visit) {
  using Pass = RowPass<T, Arch>;
  const std::int64_t count = SumPlaces(g).count;
  parallel(0, parts, [&](std::int64_t begin, std::int64_t end) {
    Pass pass(g, w, state);
    for (std::int64_t part = begin; part < end; ++part)
      for (std::int64_t y = g.height * part / parts; y < g.height * (part + 1) / parts; ++y)
        for (std::int64_t x = 0; x < g.width; x += Pass::most_columns)
          visit(pass, y * g.width + x, smaller(Pass::most_columns, g.width - x),
                sums + part * count);
  });
}

/// total[i] += values[i]
template <class T>
void add_values(const T* values, std::int64_t count, double* total) {
  for (std::int64_t i = 0; i < count; ++i) total[i] += static_cast<double>(values[i]);
}

template <class T>
void give(const double* total, std::int64_t count, T* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(total[i]);
}

template <class T, class Arch>
void backward(const SelectiveGeometry& g, const SelectiveWeights<const T>& w, const T* input,
              const T* multiplier, const T* grad, T* input_grad, T* multiplier_grad,
              const SelectiveWeights<T>& out, const ParallelFor& parallel) {
  using Pass = RowPass<T, Arch>;
  const std::int64_t image = g.channels * g.area(), parts = smaller(16, g.height);
  const SumPlaces places(g);
  const std::int64_t first_taps = g.channels * g.first.taps();
  const std::int64_t second_taps = g.channels * g.second.taps(), taps = g.selection.taps();
  // Sums over the samples: of the rows' parts, then of the convolutions' weights and biases.
  const std::int64_t row_sums = parts * places.count;
  const std::int64_t convolution_sums = first_taps + second_taps + 2 * g.channels + 4 * taps + 2;
  Workspace<double> sum_space;
  double* sums = sum_space.of(row_sums + convolution_sums);
  for (std::int64_t i = 0; i < row_sums + convolution_sums; ++i) sums[i] = 0;
  double *first_sum = sums + row_sums, *first_bias = first_sum + first_taps;
  double *second_sum = first_bias + g.channels, *second_bias = second_sum + second_taps;
  double *selection_sum = second_bias + g.channels, *selection_bias = selection_sum + 4 * taps;

  Workspace<T> far_space, near_space, plane_space, weight_space;
  T* value = weight_space.of((first_taps > second_taps ? first_taps : second_taps) + 4 * taps);
  T* bias_value = near_space.of(image + g.channels + 2) + image;
  SampleState<T> state{};
  state.far = far_space.of(image);
  state.near_grad = near_space.of(image + g.channels + 2);
  state.maps = plane_space.of(6 * g.area());
  state.gates = state.maps + 2 * g.area();
  state.signals = state.gates + 2 * g.area();
  const auto convolution = [&](const KernelShape& kernel, std::int64_t channels) {
    return DepthwiseGeometry{
        1, channels, g.height, g.width, kernel, kernel.reach_h() / 2, kernel.reach_w() / 2};
  };
  const auto planes = [&](const T* data) {
    return ImageView<const T>{data, 0, g.area(), g.width, 1};
  };
  const auto result = [&](T* data) { return ImageView<T>{data, 0, g.area(), g.width, 1}; };
  using depthwise_detail::forward;
  using depthwise_detail::weight_gradient;
  const auto first = convolution(g.first, g.channels), second = convolution(g.second, g.channels);
  const auto selecting = convolution(g.selection, 1);

  for (std::int64_t b = 0; b < g.batch; ++b) {
    const T* own = input + b * image;
    const T* selection = w.selection + b * g.selection_sample;
    state.multiplier = multiplier + b * g.out_channels * g.area();
    state.grad = grad + b * g.out_channels * g.area();
    state.multiplier_grad = multiplier_grad + b * g.out_channels * g.area();
    state.near = input_grad + b * image;
    const auto pieces = [&](const auto& visit) {
      for_each_piece<T, Arch>(g, w, state, parts, sums, parallel, visit);
    };
    forward<T, Arch, false>(first, planes(own), w.first, false, w.first_bias, result(state.near),
                            parallel);
    forward<T, Arch, false>(second, planes(state.near), w.second, false, w.second_bias,
                            result(state.far), parallel);
    pieces(
        [](Pass& pass, std::int64_t at, std::int64_t columns, double*) { pass.map(at, columns); });
    convolve_planes<T, Arch>(g, state.maps, selection, w.selection_bias, false, state.gates,
                             parallel);
    pieces([](Pass& pass, std::int64_t at, std::int64_t columns, double* part) {
      pass.mix(at, columns, part);
    });

    for (int gate = 0; gate < 2; ++gate)
      for (int m = 0; m < 2; ++m) {
        T* to = value + (gate * 2 + m) * taps;
        weight_gradient<T, Arch, false>(selecting, planes(state.maps + m * g.area()),
                                        planes(state.signals + gate * g.area()), to,
                                        bias_value + gate, parallel);
      }
    if (g.selection_sample != 0)
      for (std::int64_t t = 0; t < 4 * taps; ++t)
        out.selection[b * g.selection_sample + t] = value[t];
    else
      add_values(value, 4 * taps, selection_sum);
    add_values(bias_value, 2, selection_bias);
    convolve_planes<T, Arch>(g, state.signals, selection, static_cast<const T*>(nullptr), true,
                             state.maps, parallel);
    pieces([](Pass& pass, std::int64_t at, std::int64_t columns, double* part) {
      pass.squeeze(at, columns, part);
    });

    weight_gradient<T, Arch, false>(second, planes(state.near), planes(state.far), value,
                                    bias_value, parallel);
    add_values(value, second_taps, second_sum);
    add_values(bias_value, g.channels, second_bias);
    forward<T, Arch, false>(second, planes(state.far), w.second, true, nullptr,
                            result(state.near_grad), parallel, true);
    weight_gradient<T, Arch, false>(first, planes(own), planes(state.near_grad), value, bias_value,
                                    parallel);
    add_values(value, first_taps, first_sum);
    add_values(bias_value, g.channels, first_bias);
    forward<T, Arch, false>(first, planes(state.near_grad), w.first, true, nullptr,
                            result(state.near), parallel);
  }

  for (std::int64_t part = 1; part < parts; ++part)
    add_values(sums + part * places.count, places.count, sums);
  give(sums, places.expand_bias, out.expand);
  give(sums + places.expand_bias, g.out_channels, out.expand_bias);
  give(sums + places.first, g.branch * g.channels, out.first_squeeze);
  give(sums + places.first_bias, g.branch, out.first_squeeze_bias);
  give(sums + places.second, g.branch * g.channels, out.second_squeeze);
  give(sums + places.second_bias, g.branch, out.second_squeeze_bias);
  give(first_sum, first_taps, out.first);
  give(first_bias, g.channels, out.first_bias);
  give(second_sum, second_taps, out.second);
  give(second_bias, g.channels, out.second_bias);
  if (g.selection_sample == 0) give(selection_sum, 4 * taps, out.selection);
  give(selection_bias, 2, out.selection_bias);
}

}  // namespace selective_detail

template <class Arch>
constexpr SelectiveTables large_selective_kernel_table() {
  using namespace selective_detail;
  return {{&selective_detail::forward<float, Arch>, &selective_detail::backward<float, Arch>},
          {&selective_detail::forward<double, Arch>, &selective_detail::backward<double, Arch>}};
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
