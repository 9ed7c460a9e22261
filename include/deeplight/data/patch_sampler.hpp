// Training patches drawn from rasters in memory, by native threads.
//
// `sample(step)` is a pure function of (seed, step): numbers come from counters, so a resumed run
// needs the step alone, and the number of threads changes nothing but the speed. Light keeps
// physical units here, because a block mean and a gain are physics; guides come normalised.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/data/split.hpp"
#include "deeplight/nn/types.hpp"

namespace deeplight {

struct PatchSamplerOptions {
  std::int64_t scale = 8;
  std::int64_t patch = 24;      ///< side of a patch, low-resolution pixels
  std::int64_t batch = 8;       ///< patches per step
  bool random_phase = true;     ///< block grid at any offset; needs a simulated low resolution
  bool flips = true;            ///< the eight flips and rotations, of everything together
  double lit_bias = 0.02;       ///< drawn in proportion to (lit share + lit_bias) * valid share
  double lit_above = 0.0;       ///< a pixel is lit where the target exceeds this, physical units
  double gain_jitter = 0.15;    ///< gains in [1 - j, 1 + j]: one for light, one per guide band
  double guide_dropout = 0.1;   ///< chance that a guide is blanked (normalised 0) in a patch
  double saturation = 0.0;      ///< a simulated low resolution is cut here, physical; 0: not
  std::int64_t first_item = 0;  ///< this sampler computes the items of each batch from here on,
  std::int64_t items = 0;       ///< so many of them (0: all that follow): one process's share
  std::int64_t seed = 0;
  std::int64_t threads = 1;  ///< that prepare coming steps; 0: prepare when asked
};
DEEPLIGHT_OPTIONS(PatchSamplerOptions, scale, patch, batch, random_phase, flips, lit_bias,
                  lit_above, gain_jitter, guide_dropout, saturation, first_item, items, seed,
                  threads)

/// What patches are cut from. Tensors are kept, not copied, when contiguous and of the stated type.
struct PatchSource {
  at::Tensor target;          ///< [1, H, W] float32, physical
  at::Tensor low_resolution;  ///< [1, H/r, W/r] float32, physical; undefined: block mean of target
  GuideTensors guides;        ///< each [bands, H, W] float32, normalised
  at::Tensor auxiliary;       ///< [1, H, W] float32; undefined: none
  at::Tensor valid;           ///< [1, H, W] bool; undefined: finite target pixels
  std::vector<Region> regions;  ///< on the high-resolution grid; a patch lies wholly inside one
  at::Tensor kernel;  ///< [k, l] point spread before a simulated low resolution; undefined: none
};

/// One step's patches; B = batch or this sampler's share of it, p = patch, P = patch * scale.
struct PatchBatch {
  at::Tensor low_resolution;    ///< [B, 1, p, p] physical; NaN where a block holds no valid pixel
  at::Tensor target;            ///< [B, 1, P, P] physical; 0 where invalid
  GuideTensors guides;          ///< each [B, bands, P, P], normalised
  at::Tensor auxiliary;         ///< [B, 1, P, P], undefined where the source has none
  at::Tensor valid;             ///< [B, 1, P, P] bool
  std::vector<Region> windows;  ///< where each patch was cut, high-resolution grid
};

/// Draws patches. Thread-safe; destruction stops the threads.
class PatchSampler {
 public:
  /// @throws InvalidArgument  shapes that do not fit, a region outside the raster, no region that
  ///   holds a patch, options out of range; random phase, kernel or saturation with a real low
  ///   resolution
  PatchSampler(PatchSource source, const PatchSamplerOptions& options);
  ~PatchSampler();
  PatchSampler(const PatchSampler&) = delete;
  PatchSampler& operator=(const PatchSampler&) = delete;

  /// The batch of `step` >= 0. Steps asked for in order are prepared ahead.
  PatchBatch sample(std::int64_t step);

  /// Number of patch positions on the sampling grid and their summed weight (for tests and logs).
  std::int64_t position_count() const;
  double total_weight() const;

  const PatchSamplerOptions& options() const { return options_; }

 private:
  class Positions;
  class Prefetcher;
  PatchBatch draw(std::int64_t step) const;

  PatchSource source_;
  at::Tensor blurred_;  // the target as the sensor sees it; undefined without a kernel
  PatchSamplerOptions options_;
  std::unique_ptr<Positions> positions_;
  std::unique_ptr<Prefetcher> prefetcher_;
};

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/data/patch_sampler_inl.hpp"
#endif
