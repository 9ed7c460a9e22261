// Trains a few steps on tensors: the network, its loss and LibTorch's optimiser.
#include <ATen/Functions.h>
#include <torch/optim/adam.h>
#include <deeplight/losses/deeplight_loss.hpp>
#include <deeplight/models/deeplight_sr.hpp>

#include <cstdio>

int main() {
  at::manual_seed(0);
  deeplight::DeepLightSR net(
      {.scale = 4,
       .guides = {{"dem", 1}},
       .width = 16,
       .refine = {.bicubic_skip = true, .zero_heads = true, .guide_gate = true}});
  const deeplight::losses::DeepLightLoss loss({.pixel_loss = deeplight::losses::PixelLoss::mse});
  torch::optim::Adam optimiser(net->parameters(), torch::optim::AdamOptions(5e-3));

  // A fine image that follows its guide; the network sees its 4x4 means and the guide.
  const auto guide = at::rand({4, 1, 64, 64});
  const auto target = guide.gt(0.8).to(at::kFloat);
  const auto low_resolution = at::avg_pool2d(target, {4, 4});

  double first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    optimiser.zero_grad();
    const auto terms =
        loss.terms(net(low_resolution, deeplight::GuideTensors{{"dem", guide}}), target);
    terms.total.backward();
    optimiser.step();
    last = terms.total.item<double>();
    if (step == 0) first = last;
  }
  std::printf("loss %.4f -> %.4f\n", first, last);
  return last < first ? 0 : 1;
}
