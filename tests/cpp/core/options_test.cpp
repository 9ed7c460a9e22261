// Strict reading of options: names, types, numbers, enumerations, nesting, lists.
#include "deeplight/core/options.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace options_test {

enum class Padding { zeros, reflect };
DEEPLIGHT_ENUM(Padding, {{Padding::zeros, "zeros"}, {Padding::reflect, "reflect"}})

struct Band {
  std::string name = {};
  std::int64_t count = 1;
};
DEEPLIGHT_OPTIONS(Band, name, count)

struct Inner {
  double slope = 0.5;
  Padding padding = Padding::zeros;
};
DEEPLIGHT_OPTIONS(Inner, slope, padding)

struct Outer {
  std::int64_t width = 64;
  std::int32_t depth = 3;
  bool gate = false;
  std::string title = "x";
  std::vector<double> weights = {1.0};
  std::vector<Band> bands = {};
  Inner inner = {};
  deeplight::Json notes = {};
};
DEEPLIGHT_OPTIONS(Outer, width, depth, gate, title, weights, bands, inner, notes)

Outer read(const char* text) {
  return deeplight::options_from_json<Outer>(deeplight::Json::parse(text));
}

std::string refusal(const char* text) {
  try {
    read(text);
  } catch (const deeplight::InvalidArgument& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace options_test

using namespace options_test;

TEST_CASE("options keep defaults for absent keys and read what is given") {
  const Outer standard = read("{}");
  CHECK(standard.width == 64);
  CHECK(standard.inner.padding == Padding::zeros);
  const Outer given = read(
      R"({"width": 32, "gate": true, "weights": [1, 2.5], "bands": [{"name": "dmo", "count": 7}, {}],
          "inner": {"padding": "reflect"}, "notes": {"free": [1, {"form": null}]}})");
  CHECK(given.width == 32);
  CHECK(given.gate);
  CHECK(given.weights == std::vector<double>{1.0, 2.5});
  REQUIRE(given.bands.size() == 2);
  CHECK(given.bands[0].count == 7);
  CHECK(given.bands[1].count == 1);
  CHECK(given.inner.slope == 0.5);
  CHECK(given.inner.padding == Padding::reflect);
  CHECK(given.notes.dump() == R"({"free":[1,{"form":null}]})");
}

TEST_CASE("options survive a round trip through JSON") {
  Outer options;
  options.width = -5;
  options.bands = {{"dmo", 7}, {"dem", 1}};
  options.inner.padding = Padding::reflect;
  options.notes = {{"a", 1}};
  const deeplight::Json json = deeplight::options_to_json(options);
  const Outer again = deeplight::options_from_json<Outer>(json);
  CHECK(deeplight::options_to_json(again) == json);
  CHECK(json.begin().key() == "width");  // declared order is kept
}

TEST_CASE("an unknown key names the nearest known one, at every depth") {
  CHECK(has(refusal(R"({"widht": 1})"), "unknown option 'widht'; did you mean 'width'"));
  CHECK(has(refusal(R"({"inner": {"pading": "zeros"}})"),
            "unknown option 'inner.pading'; did you mean 'padding'"));
  CHECK(has(refusal(R"({"bands": [{"name": "a"}, {"nmae": "b"}]})"),
            "unknown option 'bands[1].nmae'; did you mean 'name'"));
}

TEST_CASE("numbers that would change are refused") {
  CHECK(has(refusal(R"({"width": 2.5})"), "option 'width' cannot be 2.5"));
  CHECK(has(refusal(R"({"width": 9223372036854775808})"), "option 'width'"));
  CHECK(has(refusal(R"({"width": 1e300})"), "option 'width'"));
  CHECK(has(refusal(R"({"depth": 4294967297})"), "option 'depth' cannot be 4294967297"));
  CHECK(has(refusal(R"({"inner": {"slope": 9007199254740993}})"), "option 'inner.slope'"));
  CHECK(has(refusal(R"({"bands": [{"count": 1.5}]})"), "option 'bands[0].count' cannot be 1.5"));
  CHECK(read(R"({"width": 2.0})").width == 2);
  CHECK(read(R"({"inner": {"slope": 1}})").inner.slope == 1.0);
}

TEST_CASE("true is no number, and one is not true") {
  CHECK(has(refusal(R"({"width": true})"), "option 'width' must be an integer, got true"));
  CHECK(has(refusal(R"({"gate": 1})"), "option 'gate' must be true or false, got 1"));
  CHECK(has(refusal(R"({"weights": [true]})"), "option 'weights' cannot be [true]"));
}

TEST_CASE("other kinds of values are refused by name") {
  CHECK(has(refusal(R"({"title": 3})"), "option 'title' must be a string, got 3"));
  CHECK(has(refusal(R"({"width": "3"})"), "option 'width' must be an integer"));
  CHECK(has(refusal(R"({"width": null})"), "option 'width' must be an integer, got null"));
  CHECK(has(refusal(R"({"weights": 1})"), "option 'weights' must be a list"));
  CHECK(has(refusal(R"({"inner": 1})"), "'inner' must be a table"));
  CHECK(has(refusal(R"({"bands": [3]})"), "option 'bands' cannot be [3]"));
  CHECK(has(refusal(R"({"weights": ["a"]})"), "option 'weights'"));
  CHECK(has(refusal(R"([1])"), "must be a table"));
}

TEST_CASE("an unknown enumeration string lists the known ones and names the option") {
  const std::string text = refusal(R"({"inner": {"padding": "mirror"}})");
  CHECK(has(text, "option 'inner'"));
  CHECK(has(text, "'mirror' is not one of zeros, reflect"));
  CHECK(has(refusal(R"({"inner": {"padding": 0}})"), "must be a string, got 0"));
  CHECK(deeplight::enum_to_string(Padding::reflect) == "reflect");
  CHECK_THROWS_AS(deeplight::enum_to_string(static_cast<Padding>(9)), deeplight::InvalidArgument);
}

TEST_CASE("the nearest name is the one with the fewest edits") {
  CHECK(deeplight::edit_distance("kitten", "sitting") == 3);
  CHECK(deeplight::edit_distance("", "abc") == 3);
  CHECK(deeplight::nearest_name("dme", {"dmo", "dem", "dme2"}) == "dmo");
  CHECK(deeplight::nearest_name("x", {}).empty());
}
