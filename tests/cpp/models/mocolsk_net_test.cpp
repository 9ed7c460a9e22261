// MoCoLSK-Net from C++: published count, outputs, parts of an image, wrong use. The numbers of its
// layers are tested against independent networks in tests/python.
#include "deeplight/models/mocolsk_net.hpp"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <doctest/doctest.h>

#include "deeplight/models/load.hpp"

using namespace deeplight;

namespace {

MoCoLSKNetOptions narrow() {
  return {.scale = 2,
          .guides = {{"reflectance", 2}, {"dem", 1}},
          .stages = 1,
          .width = 4,
          .blocks = 1,
          .reconstruction_blocks = 1,
          .reduction = 2};
}

struct Inputs {
  at::Tensor low;
  GuideTensors guides;
};

Inputs inputs(std::int64_t rows, std::int64_t columns) {
  return {at::randn({1, 1, rows, columns}, at::kDouble),
          {{"reflectance", at::randn({1, 2, 2 * rows, 2 * columns}, at::kDouble)},
           {"dem", at::randn({1, 1, 2 * rows, 2 * columns}, at::kDouble)}}};
}

}  // namespace

TEST_CASE("mocolsk_net: the published number of parameters") {
  const MoCoLSKNet net({.scale = 2});
  CHECK(parameter_count(*net) == 20'011'833);
}

TEST_CASE("mocolsk_net: parts of an image are crops of the whole") {
  const at::NoGradGuard no_gradients;
  const MoCoLSKNet net(narrow());
  net->to(at::kDouble);
  const auto [low, guides] = inputs(70, 64);
  const Part part{.row = 33, .column = 30, .rows = 7, .columns = 9};
  const auto expected = [&](const at::Tensor& image) {
    return image.narrow(2, 66, 14).narrow(3, 60, 18);
  };
  const at::Tensor alone = net->forward(low, guides).image;
  CHECK(alone.sizes() == at::IntArrayRef({1, 1, 140, 128}));
  CHECK(at::equal(net->forward_part(low, guides, part), expected(alone)));

  const auto statistics = net->representative_statistics(low, guides);
  CHECK_FALSE(statistics.pooled.empty());
  const at::Tensor whole = net->forward(low, guides, &statistics).image;
  CHECK(at::allclose(whole, alone, 1e-9, 1e-9));
  CHECK(
      at::allclose(net->forward_part(low, guides, part, &statistics), expected(whole), 1e-9, 1e-9));
}

TEST_CASE("mocolsk_net: layouts of training and of inference give the same image") {
  const MoCoLSKNet net(narrow());
  net->to(at::kDouble);
  const auto [low, guides] = inputs(9, 7);
  const at::Tensor trained = net->forward(low, guides).image;
  CHECK(trained.requires_grad());
  const at::NoGradGuard no_gradients;
  CHECK(at::allclose(net->forward(low, guides).image, trained, 1e-9, 1e-9));
}

TEST_CASE("mocolsk_net: wrong use") {
  const MoCoLSKNet net(narrow());
  net->to(at::kDouble);
  const auto [low, guides] = inputs(9, 7);
  for (const Part part : {Part{0, 0, 10, 7}, Part{-1, 0, 3, 3}, Part{2, 5, 3, 3}, Part{0, 0, 0, 3}})
    CHECK_THROWS_AS(net->forward_part(low, guides, part), InvalidArgument);
  GuideTensors missing = guides;
  missing.erase("dem");
  CHECK_THROWS_AS(net->forward(low, missing), InvalidArgument);
  CHECK_THROWS_AS(MoCoLSKNet({.guides = {}}), InvalidArgument);
  CHECK_THROWS_AS(
      MoCoLSKNet({.stages = 3, .selection = {nn::Selection::channel, nn::Selection::spatial}}),
      InvalidArgument);
}
