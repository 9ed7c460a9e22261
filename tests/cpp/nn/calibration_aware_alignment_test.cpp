#include "deeplight/nn/calibration_aware_alignment.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "nn/parts_count.hpp"

using deeplight::nn::CalibrationAwareAlignment;
using deeplight::nn::NetworkShape;

namespace {
const NetworkShape shape{.scale = 4, .width = 8, .guides = {{"dmo", 3}, {"dem", 1}}};
}

TEST_CASE("alignment without its network is one convolution and untouched guides") {
  CalibrationAwareAlignment part(shape, {.enabled = false});
  const std::vector<at::Tensor> guides{at::rand({1, 8, 8, 8}), at::rand({1, 8, 8, 8})};
  const auto aligned = part.forward(at::rand({1, 1, 8, 8}), guides, std::nullopt);
  CHECK(at::equal(aligned.guides[0], guides[0]));
  CHECK(at::equal(aligned.guides[1], guides[1]));
  CHECK(count_of(part) == 8 * 9 + 8);
  CHECK_FALSE(part.raster_warp(deeplight::rows_of(at::rand({1, 1, 8, 8}))).has_value());
}

TEST_CASE("warp_guides decides whether a given warp bends the guides") {
  at::manual_seed(4);
  const deeplight::Warp shift{at::tensor({0., 0., 1., 0., 0., 0.}, at::kFloat).view({1, 2, 3}), 3.5,
                              3.5};
  const auto image = at::rand({1, 1, 8, 8});
  const std::vector<at::Tensor> guides{at::rand({1, 8, 8, 8}), at::rand({1, 8, 8, 8})};
  for (const bool bends : {true, false}) {
    CalibrationAwareAlignment part(shape, {.warp_guides = bends});
    const auto moved = at::cat({guides[0].narrow(3, 1, 7), guides[0].narrow(3, 7, 1)}, 3);
    const auto main = part.forward(image, guides, shift).main;
    const auto expected = part.forward(at::cat({image.narrow(3, 1, 7), image.narrow(3, 7, 1)}, 3),
                                       {bends ? moved : guides[0], guides[1]},
                                       deeplight::Warp{at::zeros({1, 2, 3}), 3.5, 3.5});
    CHECK(at::allclose(main, expected.main, 1e-5, 1e-6));
    CHECK(
        at::allclose(part.forward(image, guides, shift).guides[0], expected.guides[0], 1e-5, 1e-6));
  }
}
