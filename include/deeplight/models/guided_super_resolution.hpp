// GuidedSuperResolution<Align, Fuse, Refine>: a guided network composed of three parts.
//
// low resolution [B, 1, h, w] and named guides [B, bands, r*h, r*w] -> Output. Any h, w >= 1: sides
// are padded to multiples of 4 by repeating the edge, and outputs are cropped back. A new network
// is one line: using Mine = GuidedSuperResolution<MyAlign, MyFuse, MyRefine>, where each part
// satisfies its concept in nn/composition.hpp. Parts are templates' business; sizes are options.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "deeplight/core/errors.hpp"
#include "deeplight/core/options.hpp"
#include "deeplight/models/guide_checks.hpp"
#include "deeplight/models/network.hpp"
#include "deeplight/nn/composition.hpp"
#include "deeplight/nn/holder.hpp"
#include "deeplight/nn/learnable_downsampling.hpp"
#include "deeplight/nn/memory_layout.hpp"

namespace deeplight {

template <class Align, class Fuse, class Refine>
struct GuidedOptions {
  std::int64_t scale = 8;                                ///< 2, 4 or 8
  std::vector<Guide> guides = {{"dmo", 7}, {"dem", 1}};  ///< in the order of their fusion
  std::int64_t width = 64;                               ///< feature channels, even
  /// Ablation: modalities ("low_resolution" or guides) whose features are replaced by the mean of
  /// the remaining ones. Such a guide may be left out of the call.
  std::vector<std::string> without = {};
  typename Align::Options align = {};
  typename Fuse::Options fuse = {};
  typename Refine::Options refine = {};

  friend void to_json(Json& json, const GuidedOptions& options) {
    json = Json{{"scale", options.scale},        {"guides", options.guides},
                {"width", options.width},        {"without", options.without},
                {"align", Json(options.align)},  {"fuse", Json(options.fuse)},
                {"refine", Json(options.refine)}};
  }
  friend void from_json(const Json& json, GuidedOptions& options) {
    const auto read = [&](const char* key, auto& field) {
      using Field = std::remove_reference_t<decltype(field)>;
      if (json.contains(key)) field = json.at(key).template get<Field>();
    };
    options = GuidedOptions{};
    read("scale", options.scale);
    read("guides", options.guides);
    read("width", options.width);
    read("without", options.without);
    read("align", options.align);
    read("fuse", options.fuse);
    read("refine", options.refine);
  }
};

/// Registered name of a composition; "custom" for those that nobody registered.
template <class Align, class Fuse, class Refine>
inline constexpr std::string_view architecture_name = "custom";

template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
class GuidedSuperResolutionImpl : public Network {
 public:
  using Options = GuidedOptions<Align, Fuse, Refine>;

  /// @throws InvalidArgument  an option breaks a rule: scale, width, guide names, bands
  explicit GuidedSuperResolutionImpl(Options options = {});

  std::string architecture() const override {
    return std::string(architecture_name<Align, Fuse, Refine>);
  }
  Json options() const override { return options_to_json(options_); }
  std::int64_t scale() const override { return options_.scale; }
  std::vector<Guide> guides() const override { return options_.guides; }
  std::int64_t margin() const override;
  std::int64_t tile_multiple() const override { return side_multiple; }
  at::MemoryFormat guide_layout(c10::DeviceType device) const override {
    return nn::fast_layout(device);
  }
  std::vector<std::string> statistic_names() const override;
  bool can_checkpoint_activations() const override { return true; }
  ImageStatistics image_statistics(const at::Tensor& low_resolution) override;
  ImageStatistics streamed_statistics(const ImageRows& low_resolution) override;
  Output forward(const at::Tensor& low_resolution, const GuideTensors& guides,
                 const ImageStatistics* statistics = nullptr) override;
  at::Tensor forward_part(const at::Tensor& low_resolution, const GuideTensors& guides,
                          const Part& part, const ImageStatistics* statistics = nullptr) override;

 private:
  static constexpr std::int64_t side_multiple = 4;
  /// Everything up to refinement, on the padded grid.
  struct Fused {
    at::Tensor features;
    at::Tensor low_resolution;
    std::vector<at::Tensor> raw_guides;
    std::vector<std::vector<at::Tensor>> guide_levels;  // per guide, fine to coarse
  };
  Fused fuse_inputs(const at::Tensor& low_resolution, const GuideTensors& guides,
                    const ImageStatistics* statistics);
  Output refine_part(const Fused& fused, const Part& part);
  bool present(const std::string& modality) const;
  at::Tensor pad(const at::Tensor& image, std::int64_t factor) const;
  std::vector<at::Tensor> with_replacements(const std::vector<at::Tensor>& features,
                                            const at::Tensor& main) const;

  Options options_;
  std::vector<Guide> present_guides_;
  std::vector<std::shared_ptr<nn::LearnableDownsamplingImpl>> downsamplings_;
  std::shared_ptr<Align> align_;
  std::shared_ptr<Fuse> fuse_;
  std::shared_ptr<Refine> refine_;
};

/// Handle to the network, constructible with designated initialisers.
template <nn::AlignmentModule Align, nn::FusionModule Fuse, nn::RefinementModule Refine>
class GuidedSuperResolution : public Holder<GuidedSuperResolutionImpl<Align, Fuse, Refine>> {
 public:
  using Holder<GuidedSuperResolutionImpl<Align, Fuse, Refine>>::Holder;
};

}  // namespace deeplight

#include "deeplight/models/guided_super_resolution_inl.hpp"
