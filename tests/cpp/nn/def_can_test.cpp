#include "deeplight/nn/def_can.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "nn/parts_count.hpp"

using deeplight::nn::DefCAN;

TEST_CASE("DefCAN has the offsets of its version, zero at the start") {
  DefCAN plain({.width = 64}), modulated({.width = 64, .modulated = true});
  CHECK(count_of(*plain) == 84882);
  CHECK(count_of(*modulated) == 84882 + 9 * (64 * 9 + 1));
  CHECK(plain->named_parameters()["offset.weight"].abs().max().item<float>() == 0);
  CHECK(plain(at::rand({2, 1, 6, 5})).sizes() == at::IntArrayRef({2, 64, 6, 5}));
}

TEST_CASE("DefCAN's offsets stay within their bound, however large the convolution's output") {
  at::manual_seed(5);
  DefCAN part({.width = 4, .max_offset = 2});
  const at::NoGradGuard no_grad;
  part->named_parameters()["offset.bias"].fill_(1e6);
  auto image = at::zeros({1, 1, 31, 31});
  const auto before = part(image);
  image[0][0][15][15] = 100;
  const auto changed = (part(image) - before).abs().amax({0, 1}).gt(0).nonzero();
  const auto reach = (changed - 15).abs().max().item<std::int64_t>();
  CHECK(reach <= static_cast<std::int64_t>(part->margin()));
  CHECK(reach >= 3);
}
