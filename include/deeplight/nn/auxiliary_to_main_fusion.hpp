// AMFF, auxiliary-to-main fusion: guides are fused with each other, then with the night light.
//
// main [B, width, h, w] and any number of guides of that shape -> [B, width, h, w].
// n guides are folded from the left, F_aux = CMFM(CMFM(g1, g2), g3)...; then CMFM(main, F_aux).
// One guide skips the auxiliary fusion, none skips fusion altogether.
// Source: DeepLight (arXiv 2402.15659); more than two guides are this project's extension.
#pragma once

#include <memory>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/nn/cmfm.hpp"
#include "deeplight/nn/composition.hpp"

namespace deeplight::nn {

struct AuxiliaryToMainFusionOptions {
  std::int64_t blocks = 3;   ///< residual blocks per branch and stage of each CMFM
  bool cross_branch = true;  ///< false: no cross-branch connections (w/o AMFF)
};
DEEPLIGHT_OPTIONS(AuxiliaryToMainFusionOptions, blocks, cross_branch)

class AuxiliaryToMainFusion : public torch::nn::Module {
 public:
  using Options = AuxiliaryToMainFusionOptions;
  AuxiliaryToMainFusion(const NetworkShape& shape, Options options);

  at::Tensor forward(const at::Tensor& main, const std::vector<at::Tensor>& guides);

  double margin() const;

 private:
  std::vector<std::shared_ptr<CMFMImpl>> auxiliary_;
  std::shared_ptr<CMFMImpl> main_;
};
static_assert(FusionModule<AuxiliaryToMainFusion>);

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/auxiliary_to_main_fusion_inl.hpp"
#endif
