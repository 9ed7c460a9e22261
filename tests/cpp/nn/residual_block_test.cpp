#include "deeplight/nn/residual_block.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

TEST_CASE("a residual block whose last convolution is zero is the identity") {
  deeplight::nn::ResidualBlock block({.width = 4});
  const auto features = at::randn({2, 4, 5, 3});
  CHECK_FALSE(at::allclose(block(features), features));
  const at::NoGradGuard no_grad;
  block->named_parameters()["conv1.weight"].zero_();
  block->named_parameters()["conv1.bias"].zero_();
  CHECK(at::equal(block(features), features));
}
