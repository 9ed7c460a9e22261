// Uses one operator alone: a deformable convolution whose offsets shift everything by one pixel.
#include <ATen/Functions.h>
#include <deeplight/functional/deform_conv.hpp>

#include <cstdio>

int main() {
  const auto image = at::arange(16, at::kFloat).view({1, 1, 4, 4});
  const auto weight = at::ones({1, 1, 1, 1});
  auto offset = at::zeros({1, 2, 4, 4});
  offset.select(1, 1).fill_(1.0);  // dx = 1: sample the right neighbour
  const auto shifted = deeplight::functional::deform_conv2d(image, offset, weight);
  std::printf("%g %g\n", shifted[0][0][0][0].item<double>(), shifted[0][0][0][3].item<double>());
  return 0;
}
