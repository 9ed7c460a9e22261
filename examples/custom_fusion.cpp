// Composes a network with a fusion of one's own: a weighted sum of all guides, one weight a guide.
#include <ATen/Functions.h>
#include <deeplight/models/deeplight_sr.hpp>
#include <deeplight/models/load.hpp>

#include <cstdio>

namespace mine {

struct WeightedSumOptions {
  double initial_weight = 0.1;
};
DEEPLIGHT_OPTIONS(WeightedSumOptions, initial_weight)

class WeightedSum : public torch::nn::Module {
 public:
  using Options = WeightedSumOptions;

  WeightedSum(const deeplight::nn::NetworkShape& shape, Options options) {
    const auto guides = static_cast<std::int64_t>(shape.guides.size());
    weights_ = register_parameter("weights", at::full({guides}, options.initial_weight));
  }

  at::Tensor forward(const at::Tensor& main, const std::vector<at::Tensor>& guides) {
    at::Tensor sum = main;
    for (std::size_t i = 0; i < guides.size(); ++i)
      sum = sum + weights_[static_cast<std::int64_t>(i)] * guides[i];
    return sum;
  }

  double margin() const { return 0; }

 private:
  at::Tensor weights_;
};

using Network =
    deeplight::GuidedSuperResolution<deeplight::nn::CalibrationAwareAlignment, WeightedSum,
                                     deeplight::nn::AuxiliaryEmbeddedRefinement>;

}  // namespace mine

int main() {
  mine::Network net({.scale = 8, .guides = {{"rgb", 3}, {"dem", 1}}, .width = 32});
  const auto output =
      net(at::rand({1, 1, 16, 16}), deeplight::GuideTensors{{"rgb", at::rand({1, 3, 128, 128})},
                                                            {"dem", at::rand({1, 1, 128, 128})}});
  std::printf("%ld parameters, margin %ld, image %ldx%ld\n",
              static_cast<long>(deeplight::parameter_count(*net)), static_cast<long>(net->margin()),
              static_cast<long>(output.image.size(2)), static_cast<long>(output.image.size(3)));
  return 0;
}
