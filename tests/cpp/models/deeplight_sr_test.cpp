#include "deeplight/models/deeplight_sr.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "deeplight/models/load.hpp"
#include "deeplight/models/registry.hpp"

using deeplight::DeepLightSR;

TEST_CASE("DeepLightSR's default configuration counts 3,450,223 parameters") {
  DeepLightSR net;
  CHECK(deeplight::parameter_count(*net) == 3450223);
  CHECK(net->architecture() == "deeplight_sr");
}

TEST_CASE("each of the seven ablations is one designated initialiser") {
  const std::vector<deeplight::Guide> guides{{"dmo", 7}, {"dem", 1}};
  const std::pair<const char*, DeepLightSR> ablations[] = {
      {"w/o LR NTL", DeepLightSR({.without = {"low_resolution"}})},
      {"w/o DMO", DeepLightSR({.without = {"dmo"}})},
      {"w/o DEM", DeepLightSR({.without = {"dem"}})},
      {"w/o ISP", DeepLightSR({.refine = {.auxiliary_head = false}})},
      {"w/o CAA", DeepLightSR({.align = {.enabled = false}})},
      {"w/o AMFF", DeepLightSR({.fuse = {.cross_branch = false}})},
      {"w/o AER", DeepLightSR({.refine = {.multi_scale = false}})},
  };
  const at::NoGradGuard no_grad;
  for (const auto& [name, net] : ablations) {
    INFO(name);
    CHECK(deeplight::parameter_count(*net) < 3450223);
    const auto output =
        net(at::rand({1, 1, 4, 4}), deeplight::GuideTensors{{"dmo", at::rand({1, 7, 32, 32})},
                                                            {"dem", at::rand({1, 1, 32, 32})}});
    CHECK(output.image.sizes() == at::IntArrayRef({1, 1, 32, 32}));
  }
}

TEST_CASE("options survive their own JSON") {
  DeepLightSR net(
      {.scale = 4, .guides = {{"rgb", 3}}, .width = 16, .refine = {.guide_gate = true}});
  const auto again = deeplight::create_model("deeplight_sr", net->options());
  CHECK(again->options() == net->options());
  CHECK(again->margin() == net->margin());
  CHECK(deeplight::parameter_count(*again) == deeplight::parameter_count(*net));
}
