// One minus the structural similarity: metrics/ssim.hpp turned into an objective.
//
// Source: Wang, Bovik, Sheikh, Simoncelli 2004, doi:10.1109/TIP.2003.819861; its convention (the
// Gaussian window, population moments, windows wholly inside) is that of the score.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight::losses {

struct SsimLossOptions {
  double data_range = 0.0;        ///< peak R in the images' units; needed, never guessed
  std::int64_t window_size = 11;  ///< odd, pixels
  double sigma = 1.5;             ///< of the Gaussian window, pixels
  double k1 = 0.01;
  double k2 = 0.03;
};
DEEPLIGHT_OPTIONS(SsimLossOptions, data_range, window_size, sigma, k1, k2)

/// Mean of 1 - SSIM over the windows of the whole batch.
/// @param prediction  [B, C, H, W], floating, sides at least the window; computed in float64
/// @param target      the same shape
/// @param mask        boolean, broadcasts to the shape; a window that touches an invalid pixel is
///                    dropped, so that neither value nor gradient sees it
/// @return  scalar of the prediction's type in [0, 2]; 0, with zero gradients, when no window is
///          left. Windows that are dark on both sides cost nothing: beside a pixel loss it shapes
///          the lit parts and never moves the dark ones.
/// @throws InvalidArgument  shapes differ, data_range not above 0, window even or larger than the
///                          image, mask not boolean
at::Tensor ssim(const at::Tensor& prediction, const at::Tensor& target,
                const SsimLossOptions& options, const std::optional<at::Tensor>& mask = {});

}  // namespace deeplight::losses

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/losses/ssim_inl.hpp"
#endif
