// The model card: round trip, rules, damage.
#include "deeplight/weights/card.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/core/atomic_file.hpp"
#include "temporary_folder.hpp"

using deeplight::Card;
using deeplight::FormatError;
using deeplight::GuideContrast;

namespace {

Card example() {
  Card card;
  card.name = "black-marble-x8";
  card.architecture = "deeplight_sr";
  card.options = {{"scale", 8}, {"width", 64}};
  card.scale = 8;
  card.preprocessing.low_resolution = {
      "nW/cm2/sr", deeplight::ValueTransform::log1p, 0.5, 1.25, 0.75, 0.0, 250.0};
  card.preprocessing.output = card.preprocessing.low_resolution;
  card.preprocessing.guides = {{.name = "dmo",
                                .bands = 2,
                                .units = "DN",
                                .band_names = {"red", "nir"},
                                .transform = deeplight::ValueTransform::asinh,
                                .transform_scale = 2.0,
                                .mean = {1, 2},
                                .std = {3, 4},
                                .minimum = {0, 0},
                                .maximum = {255, 255},
                                .contrast = GuideContrast::standardised,
                                .contrast_spread = {{0.5, 0.25}}},
                               {.name = "dem", .bands = 1, .units = "m"}};
  card.cell_size = {0.0041666667, 0.0041666667};
  card.cell_size_units = "degree";
  card.margin = 24;
  card.weights_sha256 = std::string(64, 'a');
  card.training = {{"steps", 1000}, {"blocks", {1, 2, 3}}};
  return card;
}

std::string refusal(const std::string& text) {
  try {
    deeplight::card_from_text(text, "some/card.json");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a card survives writing and reading") {
  const deeplight::testing::TemporaryFolder folder;
  const std::string path = folder / "x.json";
  deeplight::write_card(path, example());
  const Card card = deeplight::read_card(path);
  CHECK(deeplight::card_to_text(card) == deeplight::card_to_text(example()));
  CHECK(card.preprocessing.guides[0].std == std::vector<double>{3, 4});
  CHECK(card.preprocessing.low_resolution.transform == deeplight::ValueTransform::log1p);
  CHECK(card.training["blocks"][2] == 3);
}

TEST_CASE("the output is described like the low resolution unless it has its own description") {
  deeplight::Json json = deeplight::options_to_json(example());
  json["preprocessing"].erase("output");
  const Card same = deeplight::card_from_text(json.dump(), "x");
  CHECK(same.preprocessing.output.mean == 1.25);
  CHECK(same.preprocessing.output.transform == deeplight::ValueTransform::log1p);
  json["preprocessing"]["output"] = {{"mean", 7.0}};
  const Card own = deeplight::card_from_text(json.dump(), "x");
  CHECK(own.preprocessing.output.mean == 7.0);
  CHECK(own.preprocessing.output.transform == deeplight::ValueTransform::linear);
}

TEST_CASE("the card lies beside the weights") {
  CHECK(deeplight::card_path_for("a/b.c/x.safetensors") == "a/b.c/x.json");
  CHECK(deeplight::card_path_for("x") == "x.json");
}

TEST_CASE("every rule of a card is checked, with the file named") {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<const char*, std::function<void(Card&)>>> cases = {
      {"format must be", [](Card& c) { c.format = "deeplight-card-9"; }},
      {"name must not be empty", [](Card& c) { c.name = ""; }},
      {"architecture must not be empty", [](Card& c) { c.architecture = ""; }},
      {"options must be a table", [](Card& c) { c.options = {1, 2}; }},
      {"scale must be in 1..64, got 0", [](Card& c) { c.scale = 0; }},
      {"scale must be in 1..64, got 65", [](Card& c) { c.scale = 65; }},
      {"margin must not be negative, got -1", [](Card& c) { c.margin = -1; }},
      {"cell_size must be [x, y]", [](Card& c) { c.cell_size = {1}; }},
      {"cell_size must be above 0, got 0", [](Card& c) { c.cell_size = {1, 0}; }},
      {"weights_sha256 must be 64", [](Card& c) { c.weights_sha256 = "ab"; }},
      {"weights_sha256 must be 64", [](Card& c) { c.weights_sha256 = std::string(64, 'A'); }},
      {"low_resolution.std must be above 0, got 0",
       [](Card& c) { c.preprocessing.low_resolution.std = 0; }},
      {"output.std must be above 0, got inf",
       [=](Card& c) { c.preprocessing.output.std = infinity; }},
      {"low_resolution.mean must be finite",
       [=](Card& c) { c.preprocessing.low_resolution.mean = infinity; }},
      {"transform_scale must be above 0, got -1",
       [](Card& c) { c.preprocessing.low_resolution.transform_scale = -1; }},
      {"minimum must not exceed maximum",
       [](Card& c) { c.preprocessing.low_resolution.minimum = 251; }},
      {"contrast_windows must be odd and positive, got 16",
       [](Card& c) { c.preprocessing.contrast_windows = {17, 16}; }},
      {"contrast_windows must not be empty",
       [](Card& c) { c.preprocessing.contrast_windows = {}; }},
      {"contrast_windows has 5 twice", [](Card& c) { c.preprocessing.contrast_windows = {5, 5}; }},
      {"guides[0].contrast_spread must have one list per window of contrast_windows (2), got 1",
       [](Card& c) { c.preprocessing.contrast_windows = {17, 5}; }},
      {"guides[0].contrast_spread must have no list unless contrast is 'standardised' (0), got 1",
       [](Card& c) { c.preprocessing.guides[0].contrast = GuideContrast::difference; }},
      {"guides[0].contrast_spread must have one number per band (2) for each window, got 1",
       [](Card& c) { c.preprocessing.guides[0].contrast_spread = {{1}}; }},
      {"guides[0].contrast_spread must be above 0, got 0",
       [](Card& c) { c.preprocessing.guides[0].contrast_spread = {{1, 0}}; }},
      {"guides[0].name must not be empty", [](Card& c) { c.preprocessing.guides[0].name = ""; }},
      {"guides has 'dmo' twice", [](Card& c) { c.preprocessing.guides[1].name = "dmo"; }},
      {"guides[1].bands must be in 1..65536, got 0",
       [](Card& c) { c.preprocessing.guides[1].bands = 0; }},
      {"guides[0].mean must have one element per band (2) or none, got 3",
       [](Card& c) { c.preprocessing.guides[0].mean = {1, 2, 3}; }},
      {"guides[0].std must be above 0, got 0",
       [](Card& c) { c.preprocessing.guides[0].std = {1, 0}; }},
      {"guides[0].band_names must have",
       [](Card& c) { c.preprocessing.guides[0].band_names = {"a"}; }},
      {"minimum and maximum go together",
       [](Card& c) { c.preprocessing.guides[0].minimum.clear(); }},
      {"band 2 has 9 and 1",
       [](Card& c) {
         c.preprocessing.guides[0].minimum = {0, 9};
         c.preprocessing.guides[0].maximum = {1, 1};
       }},
  };
  CHECK_NOTHROW(deeplight::validate_card(example(), "x"));
  const deeplight::testing::TemporaryFolder folder;
  for (const auto& [expected, damage] : cases) {
    CAPTURE(expected);
    Card card = example();
    damage(card);
    CHECK_THROWS_WITH_AS(deeplight::validate_card(card, "some/card.json"),
                         doctest::Contains(expected), FormatError);
    CHECK_THROWS_WITH_AS(deeplight::validate_card(card, "some/card.json"),
                         doctest::Contains("some/card.json"), FormatError);
    CHECK_THROWS_AS(deeplight::write_card(folder / "x.json", card), FormatError);
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("text that is no card is refused, with the file named") {
  const std::string good = deeplight::card_to_text(example());
  for (std::size_t size = 0; size + 2 < good.size(); ++size) {
    CAPTURE(size);
    CHECK(refusal(good.substr(0, size)).find("some/card.json") == 0);
  }
  const auto has = [](const std::string& text, const char* part) {
    return refusal(text).find(part) != std::string::npos;
  };
  CHECK(has("[]", "must be a table"));
  CHECK(has(good + std::string(1, '\0') + "x", "zero byte"));
  CHECK(has("{} x", "not valid JSON"));
  CHECK(has(R"({"scale": 8, "scale": 4})", "the key 'scale' twice"));
  CHECK(has(R"({"training": {"a": 1, "a": 2}})", "the key 'a' twice"));
  CHECK(has(R"({"scael": 8})", "did you mean 'scale'"));
  CHECK(has(R"({"preprocessing": {"guides": [{"band": 3}]}})", "did you mean 'bands'"));
  CHECK(has(R"({"scale": 8.5})", "'scale' cannot be 8.5"));
  CHECK(has("{\"name\": \"\xff\"}", "not valid JSON"));
  CHECK(has(R"({"training": )" + std::string(100000, '['), "nested deeper than 32"));
  std::string many = "{";
  for (int i = 0; i < 20000; ++i) many += "\"k" + std::to_string(i) + "\":0,";
  CHECK(has(many, "more than 10000 keys"));
  CHECK(has(std::string((16 << 20) + 1, ' '), "larger than"));
}
