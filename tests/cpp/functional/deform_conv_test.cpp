#include "deeplight/functional/deform_conv.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

using deeplight::functional::deform_conv2d;
using deeplight::functional::deform_conv2d_reference;

TEST_CASE("deformable convolution equals its reference, forward and backward") {
  at::manual_seed(1);
  const auto make = [](at::IntArrayRef sizes) {
    return at::randn(sizes, at::kDouble).requires_grad_();
  };
  const auto input = make({2, 4, 6, 5}), offset = make({2, 36, 6, 5}), weight = make({6, 2, 3, 3});
  const auto bias = make({6}), mask = make({2, 18, 6, 5});
  const std::vector<at::Tensor> leaves{input, offset, weight, bias, mask};
  std::vector<at::Tensor> gradients[2];
  at::Tensor results[2];
  int which = 0;
  for (const auto function : {&deform_conv2d, &deform_conv2d_reference}) {
    results[which] = function(input, offset, weight, bias, {1, 1}, {1, 1}, {1, 1}, mask);
    results[which].pow(2).sum().backward();
    for (const auto& leaf : leaves) {
      gradients[which].push_back(leaf.grad().clone());
      leaf.grad().zero_();
    }
    ++which;
  }
  CHECK(at::allclose(results[0], results[1], 1e-10, 1e-10));
  for (std::size_t i = 0; i < leaves.size(); ++i)
    CHECK(at::allclose(gradients[0][i], gradients[1][i], 1e-9, 1e-9));
}
