// Definitions of metrics/piqe.hpp.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/metrics/piqe.hpp"

namespace deeplight::metrics {
namespace detail {

/// Verdicts on every plane of an image, one after the other.
struct PiqeVerdicts {
  std::vector<kernels::PiqeBlock> blocks;
  std::int64_t planes, high, wide;
};

DEEPLIGHT_INLINE kernels::PiqeRules piqe_rules(const PiqeOptions& options) {
  if (options.stretch == PiqeStretch::range) {
    require(std::isfinite(options.data_range) && options.data_range > 0.0,
            "piqe: stretch range needs a finite data_range above 0, got ", options.data_range);
  }
  return {.maximum = options.stretch == PiqeStretch::range ? options.data_range : 0.0,
          .round = options.round,
          .parity_surround = options.surround == PiqeSurround::reference,
          .activity_threshold = options.activity_threshold,
          .artifact_threshold = options.artifact_threshold};
}

DEEPLIGHT_INLINE PiqeVerdicts piqe_verdicts(const at::Tensor& image, const PiqeOptions& options,
                                            PiqeHalo halo) {
  check_image("piqe", image);
  const auto planes_of_mask = [&](const std::optional<at::Tensor>& given, const char* name) {
    if (!given) return at::Tensor();
    return as_planes(expand_mask("piqe", name, *given, image)).to(at::kCPU);
  };
  const at::Tensor planes = as_planes(image.detach()).to(at::kCPU).resolve_neg();
  const at::Tensor valid = planes_of_mask(options.mask, "mask");
  const at::Tensor where = planes_of_mask(options.where, "where");
  const std::int64_t rows = planes.size(1) - halo.top - halo.bottom;
  const std::int64_t columns = planes.size(2) - halo.left - halo.right;
  require(std::min({halo.top, halo.left, halo.bottom, halo.right}) >= 0 && rows > 0 && columns > 0,
          "piqe: a piece of ", planes.size(1), "x", planes.size(2), " has no room for its halo");
  const auto filled = [](std::int64_t inner, std::int64_t before) {
    return before == 0 ||
           (kernels::piqe_block - inner % kernels::piqe_block) % kernels::piqe_block <=
               inner + before;
  };
  require(filled(rows, halo.top) && filled(columns, halo.left), "piqe: the last piece of ", rows,
          "x", columns, " pixels is too small to fill up its block; give it the block before too");

  std::vector<kernels::PiqeRules> rules(static_cast<std::size_t>(planes.size(0)),
                                        piqe_rules(options));
  std::vector<kernels::PiqeJob> jobs;
  for (std::int64_t i = 0; i < planes.size(0); ++i) {
    jobs.push_back({.image = plane_of(planes, i),
                    .mask = mask_plane_of(valid, i),
                    .where = mask_plane_of(where, i),
                    .first_row = halo.top,
                    .first_column = halo.left,
                    .rows = rows,
                    .columns = columns});
  }
  if (options.stretch == PiqeStretch::maximum) {
    const std::int64_t bands = image.dim() < 3 ? 1 : image.size(-3);
    for (std::int64_t i = 0; i < planes.size(0); i += bands) {
      double maximum = -std::numeric_limits<double>::infinity();
      for (std::int64_t k = i; k < i + bands; ++k) {
        maximum = std::max(maximum, kernels::plane_maximum(jobs[k].image, jobs[k].mask));
      }
      // Without light there is nothing to stretch by.
      for (std::int64_t k = i; k < i + bands; ++k) rules[k].maximum = std::max(maximum, 0.0);
    }
  }
  PiqeVerdicts verdicts{{}, planes.size(0), jobs[0].blocks_high(), jobs[0].blocks_wide()};
  const std::int64_t per_plane = verdicts.high * verdicts.wide;
  verdicts.blocks.resize(static_cast<std::size_t>(verdicts.planes * per_plane));
  for (std::int64_t i = 0; i < verdicts.planes; ++i) {
    jobs[i].blocks = verdicts.blocks.data() + i * per_plane;
  }
  kernels::piqe_blocks(jobs, rules, functional::torch_parallel());
  return verdicts;
}

DEEPLIGHT_INLINE double piqe_score(double distortion, std::int64_t active) {
  return 100.0 * (distortion + 1.0) / (static_cast<double>(active) + 1.0);
}

}  // namespace detail

DEEPLIGHT_INLINE PiqeBlocks piqe_blocks(const at::Tensor& image, const PiqeOptions& options) {
  const detail::PiqeVerdicts verdicts = detail::piqe_verdicts(image, options, {});
  std::vector<std::int64_t> shape = image.sizes().vec();
  shape[shape.size() - 2] = verdicts.high;
  shape[shape.size() - 1] = verdicts.wide;
  PiqeBlocks blocks{at::empty(shape, at::kDouble), at::empty(shape, at::kBool),
                    at::empty(shape, at::kBool), at::empty(shape, at::kBool),
                    at::empty(shape, at::kBool)};
  for (std::size_t i = 0; i < verdicts.blocks.size(); ++i) {
    const kernels::PiqeBlock& block = verdicts.blocks[i];
    blocks.distortion.data_ptr<double>()[i] =
        block.counted ? block.distortion : std::numeric_limits<double>::quiet_NaN();
    blocks.counted.data_ptr<bool>()[i] = block.counted;
    blocks.active.data_ptr<bool>()[i] = block.active;
    blocks.artifact.data_ptr<bool>()[i] = block.artifact;
    blocks.noise.data_ptr<bool>()[i] = block.noise;
  }
  if (!image.device().is_cpu()) {
    for (at::Tensor* verdict :
         {&blocks.distortion, &blocks.counted, &blocks.active, &blocks.artifact, &blocks.noise}) {
      *verdict = verdict->to(image.device());
    }
  }
  return blocks;
}

DEEPLIGHT_INLINE at::Tensor piqe(const at::Tensor& image, const PiqeOptions& options) {
  if (options.reduction == Reduction::map) return piqe_blocks(image, options).distortion;
  const detail::PiqeVerdicts verdicts = detail::piqe_verdicts(image, options, {});
  const detail::ImageBatch batch = detail::image_batch(image, options.reduction);
  const std::int64_t per_image = static_cast<std::int64_t>(verdicts.blocks.size()) / batch.images;
  at::Tensor scores = at::empty({batch.images}, at::kDouble), count = at::empty_like(scores);
  for (std::int64_t i = 0; i < batch.images; ++i) {
    kernels::ExactSum distortion;
    std::int64_t active = 0, counted = 0;
    for (std::int64_t k = i * per_image; k < (i + 1) * per_image; ++k) {
      const kernels::PiqeBlock& block = verdicts.blocks[k];
      distortion.add(block.distortion);
      active += block.active;
      counted += block.counted;
    }
    scores.data_ptr<double>()[i] = detail::piqe_score(distortion.value(), active);
    count.data_ptr<double>()[i] = static_cast<double>(counted);
  }
  return detail::reduce(scores, count, options.reduction, batch.shape).to(image.device());
}

DEEPLIGHT_INLINE PiqeAccumulator::PiqeAccumulator(PiqeOptions options)
    : options_(std::move(options)) {
  require(options_.stretch != PiqeStretch::maximum,
          "piqe: a piece does not know the image's maximum; choose stretch range with its "
          "data_range, or none");
  detail::piqe_rules(options_);
}

DEEPLIGHT_INLINE void PiqeAccumulator::update(const at::Tensor& piece, PiqeHalo halo,
                                              const std::optional<at::Tensor>& mask,
                                              const std::optional<at::Tensor>& where) {
  PiqeOptions options = options_;
  options.mask = mask;
  options.where = where;
  for (const kernels::PiqeBlock& block : detail::piqe_verdicts(piece, options, halo).blocks) {
    distortion_.add(block.distortion);
    active_ += block.active;
    count_ += block.counted;
  }
}

DEEPLIGHT_INLINE void PiqeAccumulator::merge(const PiqeAccumulator& other) {
  distortion_.add(other.distortion_);
  active_ += other.active_;
  count_ += other.count_;
}

DEEPLIGHT_INLINE double PiqeAccumulator::compute() const {
  if (count_ == 0) return std::numeric_limits<double>::quiet_NaN();
  return detail::piqe_score(distortion_.value(), active_);
}

DEEPLIGHT_INLINE std::array<double, 4> PiqeAccumulator::state() const {
  return {distortion_.high(), distortion_.low(), static_cast<double>(active_),
          static_cast<double>(count_)};
}

DEEPLIGHT_INLINE void PiqeAccumulator::load_state(const std::array<double, 4>& state) {
  distortion_ = kernels::ExactSum::restored(state[0], state[1]);
  active_ = static_cast<std::int64_t>(state[2]);
  count_ = static_cast<std::int64_t>(state[3]);
}

}  // namespace deeplight::metrics
