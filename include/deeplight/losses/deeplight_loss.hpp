// The objective of DeepLightSR: a pyramid of pixel losses and an auxiliary classification.
//
// Source: DeepLight, arXiv 2402.15659; alpha = 0.8, beta = (0.2, 0.3, 0.5), L1. Squared error, the
// light-aware weight, the class balance, the mask and the extra terms are this project's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/losses/auxiliary_bce.hpp"
#include "deeplight/losses/frequency.hpp"
#include "deeplight/losses/gradient.hpp"
#include "deeplight/losses/multi_scale.hpp"
#include "deeplight/losses/pixel_loss.hpp"
#include "deeplight/losses/radiance_consistency.hpp"
#include "deeplight/losses/ssim.hpp"
#include "deeplight/losses/total_variation.hpp"
#include "deeplight/nn/types.hpp"

namespace deeplight::losses {

/// Every choice of the objective; the `[loss]` table of a training config.
struct DeepLightLossOptions {
  double alpha = 0.8;                          ///< share of the pyramid term, in [0, 1]
  std::vector<double> beta = {0.2, 0.3, 0.5};  ///< weights of the levels, coarse to fine
  PixelLoss pixel_loss = PixelLoss::l1;        ///< "l1" (the paper), "mse" or "charbonnier"
  double epsilon = 1e-3;                       ///< of Charbonnier, normalised units
  double light_weight = 0.0;                   ///< a lit pixel weighs 1 + light_weight
  double light_threshold = 0.0;                ///< lit means target > threshold, normalised units
  double auxiliary_positive_weight = 1.0;      ///< class balance of the auxiliary term
  double ssim = 0.0;                           ///< weight of 1 - SSIM on the finest level; 0: none
  double ssim_range = 0.0;             ///< data range of the SSIM, normalised units; needed with it
  double gradient = 0.0;               ///< weight of the difference of finite differences
  double total_variation = 0.0;        ///< weight of the prediction's total variation
  double consistency = 0.0;            ///< weight of the radiance consistency, with `pixel_loss`
  std::int64_t consistency_scale = 0;  ///< fine pixels per block side; 0: see `terms`
  double frequency = 0.0;              ///< weight of the difference of Fourier spectra
  Spectrum spectrum = Spectrum::amplitude;  ///< "amplitude" or "complex"
};
DEEPLIGHT_OPTIONS(DeepLightLossOptions, alpha, beta, pixel_loss, epsilon, light_weight,
                  light_threshold, auxiliary_positive_weight, ssim, ssim_range, gradient,
                  total_variation, consistency, consistency_scale, frequency, spectrum)

/// The objective and what it is made of, all scalars.
struct DeepLightLossTerms {
  at::Tensor total;                ///< what to minimise
  at::Tensor image;                ///< the pyramid term, sum of beta_j * levels[j]
  std::vector<at::Tensor> levels;  ///< pixel losses, coarse to fine, before weighting
  at::Tensor auxiliary;            ///< cross-entropy; undefined where there is none
  /// The terms whose weight is above 0, by the option's name, before weighting.
  std::vector<std::pair<std::string, at::Tensor>> extra;
};

/// alpha * sum_j beta_j L(pyramid_j, area average of the target) + (1 - alpha) * BCE(auxiliary).
/// Without an auxiliary head or target (the paper's ablation "w/o ISP") the pyramid term stands
/// alone, with weight 1: alpha balances two terms and has nothing to balance. The extra terms, off
/// unless given a weight, are added to that with their weights; they look at the finest level.
class DeepLightLoss {
 public:
  /// @throws InvalidArgument  alpha outside [0, 1], a negative weight, epsilon not above 0, ssim
  ///                          without ssim_range
  explicit DeepLightLoss(DeepLightLossOptions options = {});

  const DeepLightLossOptions& options() const { return options_; }

  /// @param output     of a network; `pyramid` (or `image` alone) and `auxiliary_logits` are read
  /// @param target     [B, 1, H, W], normalised like the output
  /// @param auxiliary  [B, 1, H, W] in [0, 1]
  /// @param mask       boolean [B, 1, H, W], true where valid; excluded in area averages too
  /// @param low_resolution  [B, 1, h, w] in the target's units, for the consistency alone. Without
  ///                   it, area averages of the target over blocks of `consistency_scale`, or,
  ///                   where that is 0, to the size of the pyramid's coarsest level
  /// @param factors    [levels + 1 + extra], of each level, the auxiliary and each extra term: what
  ///                   they are multiplied by, see `counts`; 1 without it
  /// @return  every term; `total` is differentiable and has the output's type
  /// @throws InvalidArgument  shapes that do not fit each other
  DeepLightLossTerms terms(const Output& output, const at::Tensor& target,
                           const std::optional<at::Tensor>& auxiliary = {},
                           const std::optional<at::Tensor>& mask = {},
                           const std::optional<at::Tensor>& low_resolution = {},
                           const std::optional<at::Tensor>& factors = {}) const;

  /// What each term is a mean over (valid pixels with their weights, pairs, windows), up to a
  /// constant of its own. A batch that is cut into n shares has the whole one's terms as plain
  /// mean over the shares where each share multiplies its terms by n * its count / all counts.
  /// @param pyramid  of which the sizes alone are read
  /// @return  [levels + 1 + extra] float64 on the CPU, in the order of `factors`
  /// @throws InvalidArgument  shapes that do not fit each other
  at::Tensor counts(const std::vector<at::Tensor>& pyramid, const at::Tensor& target,
                    const at::Tensor& mask) const;

  /// `terms(...).total`.
  at::Tensor operator()(const Output& output, const at::Tensor& target,
                        const std::optional<at::Tensor>& auxiliary = {},
                        const std::optional<at::Tensor>& mask = {},
                        const std::optional<at::Tensor>& low_resolution = {}) const {
    return terms(output, target, auxiliary, mask, low_resolution).total;
  }

 private:
  at::Tensor consistency_term(const std::vector<at::Tensor>& pyramid, const at::Tensor& target,
                              const std::optional<at::Tensor>& mask,
                              const std::optional<at::Tensor>& low_resolution) const;
  std::vector<std::string> active_extras() const;

  DeepLightLossOptions options_;
};

}  // namespace deeplight::losses

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/losses/deeplight_loss_inl.hpp"
#endif
