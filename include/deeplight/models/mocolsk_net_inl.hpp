// Definitions of mocolsk_net.hpp.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/models/guide_checks.hpp"
#include "deeplight/models/mocolsk_net.hpp"
#include "deeplight/models/part_checks.hpp"
#include "deeplight/nn/checkpoint.hpp"
#include "deeplight/nn/convolution.hpp"

namespace deeplight {
namespace detail {

inline const MoCoLSKNetOptions& checked(const MoCoLSKNetOptions& options) {
  check_network_shape(options.scale, options.width, options.guides);
  require(!options.guides.empty(), "mocolsk_net needs at least one guide");
  require(options.stages >= 1, "stages must be at least 1, got ", options.stages);
  const auto selections = static_cast<std::int64_t>(options.selection.size());
  require(selections == 1 || selections == options.stages, "selection must name one kind, or one ",
          "for each of ", options.stages, " stages, got ", selections);
  require(options.input_std > 0, "input_std must be positive, got ", options.input_std);
  return options;
}

/// LeakyReLU 0.2 of a result that nobody else holds, in place.
inline at::Tensor rectified(at::Tensor features) {
  return at::leaky_relu_(features, 0.2);
}

/// Every part keeps the layout that it is given. On the CPU convolutions are fastest channels-last,
/// the gradients of their weights as planes.
inline at::MemoryFormat fastest_layout(const at::Tensor& image) {
  if (!image.is_cpu()) return image.suggest_memory_format();
  return at::GradMode::is_enabled() ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast;
}

}  // namespace detail

DEEPLIGHT_INLINE MoCoLSKNetImpl::MoCoLSKNetImpl(Options options)
    : Network("MoCoLSKNet"),
      options_(detail::checked(options)),
      coarse_({.width = (options.stages + 1) * options.width,
               .blocks = options.blocks,
               .reduction = options.reduction}),
      up_({.in = (options.stages + 1) * options.width,
           .out = (options.stages + 1) * options.width,
           .scale = options.scale}) {
  const std::int64_t width = options.width;
  std::int64_t bands = 0;
  for (const Guide& guide : options.guides) bands += guide.bands;
  main_stem_ = register_module("main_stem", nn::conv3(1, width));
  guide_stem_ = register_module("guide_stem", nn::conv3(bands, width));
  const auto group = [&](std::int64_t channels, std::int64_t blocks) {
    return nn::ResidualGroup(nn::ResidualGroupOptions{
        .width = channels, .blocks = blocks, .reduction = options.reduction});
  };
  for (std::int64_t i = 0; i < options.stages; ++i) {
    const std::string number = std::to_string(i);
    stages_.push_back({group(width * (i + 1), options.blocks), group(width, options.blocks),
                       nn::MoCoLSKBridge(bridge_options(i))});
    register_module("main_group" + number, stages_.back().main.ptr());
    register_module("guide_group" + number, stages_.back().guide.ptr());
    register_module("bridge" + number, stages_.back().bridge.ptr());
  }
  const std::int64_t wide = width * (options.stages + 1);
  register_module("coarse_group", coarse_.ptr());
  register_module("up", up_.ptr());
  for (const std::string number : {"0", "1"}) {
    fine_.push_back(group(wide, options.reconstruction_blocks));
    register_module("fine_group" + number, fine_.back().ptr());
  }
  head0_ = register_module("head0", nn::conv3(wide, width));
  head1_ = register_module("head1", nn::conv3(width, 1));
}

DEEPLIGHT_INLINE nn::MoCoLSKBridgeOptions MoCoLSKNetImpl::bridge_options(std::int64_t stage) const {
  const auto& chosen = options_.selection;
  return {.in = options_.width * (stage + 1),
          .out = options_.width * (stage + 2),
          .scale = options_.scale,
          .fusion = options_.fusion,
          .core = {.width = options_.width,
                   .kernels = options_.kernels,
                   .dilations = options_.dilations,
                   .selection = chosen[chosen.size() == 1 ? 0 : static_cast<std::size_t>(stage)],
                   .wiring = options_.wiring,
                   .dynamic = options_.dynamic,
                   .dynamic_kernel = options_.dynamic_kernel,
                   .pooling = options_.pooling,
                   .mlp = options_.mlp,
                   .mlp_layers = options_.mlp_layers,
                   .mlp_hidden = options_.mlp_hidden,
                   .behaviour = options_.behaviour}};
}

DEEPLIGHT_INLINE std::vector<std::string> MoCoLSKNetImpl::statistic_names() const {
  std::vector<std::string> names{"channel attention"};
  const bool core = options_.fusion == nn::BridgeFusion::mocolsk;
  if (core && options_.dynamic) names.emplace_back("generated kernels");
  return names;
}

DEEPLIGHT_INLINE MoCoLSKNetImpl::State MoCoLSKNetImpl::begin(const at::Tensor& low_resolution,
                                                             const GuideTensors& guides) {
  check_inputs(low_resolution, guides, options_.guides, {}, options_.scale);
  std::vector<at::Tensor> bands;
  for (const Guide& guide : options_.guides) bands.push_back(guides.at(guide.name));
  State state;
  state.low_resolution = low_resolution;
  if (options_.input_mean != 0 || options_.input_std != 1)
    state.low_resolution = (low_resolution - options_.input_mean) / options_.input_std;
  state.window = {.rows = low_resolution.size(2), .columns = low_resolution.size(3)};
  const auto guide = bands.size() == 1 ? bands.front() : at::cat(bands, 1);
  const auto layout = detail::fastest_layout(low_resolution);
  state.main = detail::rectified(main_stem_->forward(state.low_resolution)).contiguous(layout);
  state.guide = detail::rectified(guide_stem_->forward(guide)).contiguous(layout);
  return state;
}

DEEPLIGHT_INLINE void MoCoLSKNetImpl::run_stage(std::int64_t stage, State& state,
                                                const nn::PooledScope& scope) {
  Stage& parts = stages_[stage];
  const std::string number = std::to_string(stage);
  const auto results = nn::checkpoint(
      [main = parts.main, guide = parts.guide, bridge = parts.bridge, number,
       scope](const nn::Tensors& in) {
        const auto fine = guide(in[1], scope.of("guide_group" + number));
        const auto coarse = main(in[0], scope.of("main_group" + number));
        return nn::Tensors{bridge(coarse, fine, scope.of("bridge" + number)), fine};
      },
      {state.main, state.guide}, {parts.main.ptr(), parts.guide.ptr(), parts.bridge.ptr()});
  state.main = results[0];
  state.guide = results[1];
}

DEEPLIGHT_INLINE at::Tensor MoCoLSKNetImpl::reconstruct(const State& state,
                                                        const nn::PooledScope& scope) {
  const auto run = [&](auto part, const char* name, const at::Tensor& features) {
    return nn::checkpoint(
               [part, name, scope](const nn::Tensors& in) {
                 return nn::Tensors{part(in[0], scope.of(name))};
               },
               {features}, {part.ptr()})
        .front();
  };
  const auto coarse = run(coarse_, "coarse_group", state.main);
  const auto fine = run(fine_[1], "fine_group1", run(fine_[0], "fine_group0", up_(coarse)));
  const auto& low = state.low_resolution;
  const auto bicubic = at::upsample_bicubic2d(
      low, {options_.scale * low.size(2), options_.scale * low.size(3)}, /*align_corners=*/false);
  auto image = nn::convolved(head1_, nn::convolved(head0_, fine, 0.2)) + bicubic;
  if (options_.consistency != Consistency::none)
    image = functional::enforce_block_mean(image, low, options_.scale, options_.consistency);
  if (options_.input_mean != 0 || options_.input_std != 1)
    image = image * options_.input_std + options_.input_mean;
  return image;
}

DEEPLIGHT_INLINE Output MoCoLSKNetImpl::forward(const at::Tensor& low_resolution,
                                                const GuideTensors& guides,
                                                const ImageStatistics* statistics) {
  const nn::CheckpointScope checkpoints(checkpoint_activations());
  const auto scope =
      statistics != nullptr ? nn::PooledScope::replaying(statistics->pooled) : nn::PooledScope{};
  State state = begin(low_resolution, guides);
  for (std::int64_t stage = 0; stage < options_.stages; ++stage) run_stage(stage, state, scope);
  Output output;
  output.image = reconstruct(state, scope);
  output.pyramid = {output.image};
  return output;
}

DEEPLIGHT_INLINE ImageStatistics MoCoLSKNetImpl::representative_statistics(
    const at::Tensor& low_resolution, const GuideTensors& guides,
    const ImageStatistics* statistics) {
  require(low_resolution.dim() == 4 && low_resolution.size(0) == 1,
          "statistics are recorded over one image [1, 1, h, w], got ", low_resolution.sizes());
  const at::NoGradGuard no_gradients;
  ImageStatistics result = statistics != nullptr ? *statistics : ImageStatistics{};
  result.pooled.clear();
  const auto scope = nn::PooledScope::recording(result.pooled);
  State state = begin(low_resolution, guides);
  for (std::int64_t stage = 0; stage < options_.stages; ++stage) run_stage(stage, state, scope);
  reconstruct(state, scope);
  return result;
}

DEEPLIGHT_INLINE std::int64_t MoCoLSKNetImpl::margin_after(std::int64_t stage) const {
  const std::int64_t scale = options_.scale, stem = stage < 0 ? 1 : 0;
  nn::Reach cell;
  nn::Reach main = cell.dilated(stem), guide = cell.covered(scale).dilated(stem);
  for (std::int64_t i = stage + 1; i < options_.stages; ++i) {
    const Stage& parts = stages_[i];
    main = main.dilated(parts.main->radius());
    guide = guide.dilated(parts.guide->radius());
    main = parts.bridge->reach(main, guide);
  }
  nn::Reach fine = up_->reach(main.dilated(coarse_->radius()));
  for (const auto& group : fine_) fine = fine.dilated(group->radius());
  // The head's two convolutions; bicubic reaches two low-resolution pixels, and consistency looks
  // at the whole cell.
  std::int64_t reach = std::max<std::int64_t>(fine.dilated(2).cells(scale).radius(), 2);
  return reach + (options_.consistency == Consistency::none ? 0 : 1);
}

DEEPLIGHT_INLINE void MoCoLSKNetImpl::crop(State& state, const Part& part,
                                           std::int64_t margin) const {
  const Part& window = state.window;
  Part kept;
  kept.row = std::max(part.row - margin, window.row);
  kept.column = std::max(part.column - margin, window.column);
  kept.rows = std::min(part.row + part.rows + margin, window.row + window.rows) - kept.row;
  kept.columns =
      std::min(part.column + part.columns + margin, window.column + window.columns) - kept.column;
  const Part inside{kept.row - window.row, kept.column - window.column, kept.rows, kept.columns};
  state.main = cut_part(state.main, inside, 1);
  state.guide = cut_part(state.guide, inside, options_.scale);
  state.low_resolution = cut_part(state.low_resolution, inside, 1);
  state.window = kept;
}

DEEPLIGHT_INLINE at::Tensor MoCoLSKNetImpl::forward_part(const at::Tensor& low_resolution,
                                                         const GuideTensors& guides,
                                                         const Part& part,
                                                         const ImageStatistics* statistics) {
  check_part(part, low_resolution);
  if (statistics == nullptr || statistics->pooled.empty())
    return Network::forward_part(low_resolution, guides, part, statistics);
  const auto scope = nn::PooledScope::replaying(statistics->pooled);
  State state = begin(low_resolution, guides);
  crop(state, part, margin_after(-1));
  for (std::int64_t stage = 0; stage < options_.stages; ++stage) {
    run_stage(stage, state, scope);
    crop(state, part, margin_after(stage));
  }
  const Part inside{part.row - state.window.row, part.column - state.window.column, part.rows,
                    part.columns};
  return cut_part(reconstruct(state, scope), inside, options_.scale);
}

}  // namespace deeplight
