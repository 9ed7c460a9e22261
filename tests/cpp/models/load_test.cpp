#include "deeplight/models/load.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include <filesystem>

#include "deeplight/models/deeplight_sr.hpp"

namespace fs = std::filesystem;
using deeplight::DeepLightSR;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("deeplight_load_" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

deeplight::GuideTensors guides() {
  return {{"dem", at::ones({1, 1, 8, 8})}};
}

}  // namespace

TEST_CASE("a saved network comes back with its card and its numbers") {
  const Folder folder;
  const std::string file = (folder.path / "net.safetensors").string();
  DeepLightSR net({.scale = 2, .guides = {{"dem", 1}}, .width = 8});
  deeplight::save_state(*net, file);
  deeplight::Card card;
  card.name = "net";
  card.architecture = net->architecture();
  card.options = net->options();
  card.scale = 2;
  card.margin = net->margin();
  card.preprocessing.guides = {{.name = "dem", .bands = 1}};
  deeplight::write_card(deeplight::card_path_for(file), card);

  const auto model = deeplight::load(file);
  CHECK_FALSE(model.network->is_training());
  CHECK(model.card.name == "net");
  const at::NoGradGuard no_grad;
  const auto low = at::rand({1, 1, 4, 4});
  CHECK(at::equal(model.network->forward(low, guides()).image, net(low, guides()).image));
}

TEST_CASE("weights that are not their card's are refused") {
  const Folder folder;
  const std::string file = (folder.path / "net.safetensors").string();
  DeepLightSR net({.scale = 2, .guides = {}, .width = 8});
  deeplight::save_state(*net, file);
  deeplight::Card card;
  card.name = "net";
  card.architecture = net->architecture();
  card.options = net->options();
  card.scale = 2;
  card.weights_sha256 = std::string(64, 'a');
  deeplight::write_card(deeplight::card_path_for(file), card);
  CHECK_THROWS_AS(deeplight::load(file), deeplight::FormatError);
}

TEST_CASE("half-precision storage is widened") {
  const Folder folder;
  const std::string file = (folder.path / "half.safetensors").string();
  DeepLightSR net({.scale = 2, .guides = {{"dem", 1}}, .width = 8});
  DeepLightSR other({.scale = 2, .guides = {{"dem", 1}}, .width = 8});
  deeplight::save_state(*net, file, true);
  deeplight::load_state(*other, file);
  const auto a = net->parameters()[0], b = other->parameters()[0];
  CHECK((b.scalar_type() == at::kFloat));
  CHECK(at::equal(a.to(at::kHalf).to(at::kFloat), b));
}

TEST_CASE("weights of another network are refused, and change nothing") {
  const Folder folder;
  const std::string file = (folder.path / "other.safetensors").string();
  DeepLightSR net({.scale = 2, .guides = {{"dem", 1}}, .width = 8});
  deeplight::save_state(*DeepLightSR({.scale = 4, .guides = {{"dem", 2}}, .width = 8}), file);
  const auto before = net->parameters()[0].clone();
  std::string message;
  try {
    deeplight::load_state(*net, file);
  } catch (const deeplight::FormatError& error) {
    message = error.what();
  }
  CHECK(message.find(file) != std::string::npos);
  CHECK(message.find("downsample_dem.conv0.weight is [4, 2, 3, 3], expected [8, 1, 3, 3]") !=
        std::string::npos);
  CHECK(message.find("more") != std::string::npos);
  CHECK(at::equal(before, net->parameters()[0]));
}
