#include "deeplight/nn/spatial_transformer.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "deeplight/core/errors.hpp"
#include "nn/parts_count.hpp"

using deeplight::nn::SpatialTransformer;

TEST_CASE("the spatial transformer starts as the identity, exactly") {
  SpatialTransformer part;
  const auto image = at::rand({2, 1, 9, 13});
  const auto matrix = part(image);
  CHECK(matrix.abs().max().item<float>() == 0);
  CHECK(at::equal(part->warp(image, matrix, 6, 4), image));
  CHECK(count_of(*part) == 7760);
}

TEST_CASE("the warp of a raster is the median over windows of the training size") {
  at::manual_seed(1);
  SpatialTransformer part({.max_shift = 2, .statistics_window = 8});
  const at::NoGradGuard no_grad;
  for (auto& parameter : part->parameters()) parameter.normal_(0, 0.1);
  const auto raster = at::rand({1, 1, 16, 24});
  std::vector<at::Tensor> windows;
  for (int row = 0; row < 16; row += 8)
    for (int column = 0; column < 24; column += 8)
      windows.push_back(raster.narrow(2, row, 8).narrow(3, column, 8));
  const auto expected = std::get<0>(part(at::cat(windows)).median(0, true));
  CHECK(at::allclose(part->of_raster(deeplight::rows_of(raster)), expected, 1e-6, 1e-7));
  // A raster smaller than a window is one window; a ragged one moves its last window inside.
  CHECK(
      at::allclose(part->of_raster(deeplight::rows_of(windows[0])), part(windows[0]), 1e-6, 1e-7));
  CHECK(part->of_raster(deeplight::rows_of(at::rand({1, 1, 9, 21}))).sizes() ==
        at::IntArrayRef({1, 2, 3}));
}

TEST_CASE("the spatial transformer refuses images that its pooling would swallow") {
  SpatialTransformer part;
  CHECK_THROWS_AS(part(at::rand({1, 1, 3, 8})), deeplight::InvalidArgument);
  CHECK_THROWS_AS(SpatialTransformer({.max_shift = 0}), deeplight::InvalidArgument);
}
