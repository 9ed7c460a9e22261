// Prints the parameter count from one translation unit and an output's sum from the other.
#include <ATen/Functions.h>
#include <deeplight/metrics/psnr.hpp>
#include <deeplight/models/deeplight_sr.hpp>
#include <deeplight/models/registry.hpp>

#include <cstdio>

#include "network.hpp"

int main() {
  at::manual_seed(0);
  deeplight::DeepLightSR net({.scale = 2, .guides = {{"dem", 1}}, .width = 8});
  const auto output =
      net(at::ones({1, 1, 8, 8}), deeplight::GuideTensors{{"dem", at::ones({1, 1, 16, 16})}});
  std::printf("%ld %.6f\n", static_cast<long>(parameters_of_the_default_network()),
              output.image.sum().item<double>());
  return 0;
}
