// DeepLightSR: night-light super-resolution with calibration-aware alignment, auxiliary-to-main
// fusion and auxiliary-embedded refinement; 3,450,223 parameters by default (x8, guides 7 + 1
// bands).
//
// Source: DeepLight, arXiv 2402.15659. Neither code nor weights are public; docs/method.md says
// which layers the paper fixes and which are this project's choices. Ablations of the paper's table
// 2, each one option:
//   w/o LR NTL .without={"low_resolution"}   w/o DMO .without={"dmo"}   w/o DEM .without={"dem"}
//   w/o ISP    .refine={.auxiliary_head=false}        w/o CAA .align={.enabled=false}
//   w/o AMFF   .fuse={.cross_branch=false}            w/o AER .refine={.multi_scale=false}
#pragma once

#include "deeplight/models/guided_super_resolution.hpp"
#include "deeplight/nn/auxiliary_embedded_refinement.hpp"
#include "deeplight/nn/auxiliary_to_main_fusion.hpp"
#include "deeplight/nn/calibration_aware_alignment.hpp"

namespace deeplight {

using DeepLightSR = GuidedSuperResolution<nn::CalibrationAwareAlignment, nn::AuxiliaryToMainFusion,
                                          nn::AuxiliaryEmbeddedRefinement>;
using DeepLightSRImpl = DeepLightSR::ContainedType;

template <>
inline constexpr std::string_view architecture_name<
    nn::CalibrationAwareAlignment, nn::AuxiliaryToMainFusion, nn::AuxiliaryEmbeddedRefinement> =
    "deeplight_sr";

#ifdef DEEPLIGHT_COMPILED
extern template class GuidedSuperResolutionImpl<
    nn::CalibrationAwareAlignment, nn::AuxiliaryToMainFusion, nn::AuxiliaryEmbeddedRefinement>;
#endif

}  // namespace deeplight
