// Definitions of auxiliary_to_main_fusion.hpp.
#pragma once

#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/auxiliary_to_main_fusion.hpp"
#include "deeplight/nn/checkpoint.hpp"

namespace deeplight::nn {

DEEPLIGHT_INLINE AuxiliaryToMainFusion::AuxiliaryToMainFusion(const NetworkShape& shape,
                                                              Options options)
    : torch::nn::Module("AuxiliaryToMainFusion") {
  const CMFMOptions each{
      .width = shape.width, .blocks = options.blocks, .cross_branch = options.cross_branch};
  for (std::size_t i = 1; i < shape.guides.size(); ++i) {
    auxiliary_.push_back(
        register_module("auxiliary" + std::to_string(i - 1), std::make_shared<CMFMImpl>(each)));
  }
  if (!shape.guides.empty()) main_ = register_module("main", std::make_shared<CMFMImpl>(each));
}

DEEPLIGHT_INLINE at::Tensor AuxiliaryToMainFusion::forward(const at::Tensor& main,
                                                           const std::vector<at::Tensor>& guides) {
  require(guides.size() == auxiliary_.size() + (main_ ? 1 : 0), "fusion was built for ",
          auxiliary_.size() + (main_ ? 1 : 0), " guides, got ", guides.size());
  if (guides.empty()) return main;
  at::Tensor fused = guides.front();
  for (std::size_t i = 1; i < guides.size(); ++i)
    fused = checkpoint_part(auxiliary_[i - 1], fused, guides[i]);
  return checkpoint_part(main_, main, fused);
}

DEEPLIGHT_INLINE double AuxiliaryToMainFusion::margin() const {
  return main_ ? main_->margin() * static_cast<double>(auxiliary_.size() + 1) : 0;
}

}  // namespace deeplight::nn
