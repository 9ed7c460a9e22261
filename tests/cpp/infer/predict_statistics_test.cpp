// Networks with statistics inside, and statistics of rasters that are not held: tiled against
// whole.
#include <torch/nn/modules/linear.h>

#include <fstream>
#include <iterator>

#include "deeplight/models/deeplight_sr.hpp"
#include "deeplight/models/mocolsk_net.hpp"
#include "infer/tile_sensitive_scene.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

/// Scales the features of a 3x3 convolution by a value pooled over the image: channel attention.
class Pooling : public TileSensitive {
 public:
  std::vector<std::string> statistic_names() const override { return {"level"}; }
  bool needs_representative_pass() const override { return true; }
  ImageStatistics image_statistics(const at::Tensor&) override { return {}; }
  ImageStatistics representative_statistics(const at::Tensor& x, const GuideTensors& guides,
                                            const ImageStatistics* statistics) override {
    ++passes;
    ImageStatistics result = statistics != nullptr ? *statistics : ImageStatistics{};
    result.pooled["level"] = level(x, guides);
    return result;
  }
  Output forward(const at::Tensor& x, const GuideTensors& guides,
                 const ImageStatistics* statistics) override {
    const bool given = statistics != nullptr && statistics->pooled.count("level") == 1;
    without += given ? 0 : 1;
    const at::Tensor scale = given ? statistics->pooled.at("level") : level(x, guides);
    const at::Tensor image = TileSensitive::forward(x, guides, nullptr).image * at::sigmoid(scale);
    return {image, {image}, {}};
  }
  static at::Tensor level(const at::Tensor& x, const GuideTensors& guides) {
    return x.mean() + 0.5 * guides.at("dem").mean();
  }
  int passes = 0, without = 0;
};

struct Inputs {
  at::Tensor x;
  GuideTensors guides;
};

/// Normalised, with no help of the engine.
Inputs inputs_of(const Scene& scene, const Window& window) {
  Block low = RasterReader(scene.folder / "ntl.tif").read(window);
  Block dem = RasterReader(scene.folder / "dem.tif").read(window.refined(2));
  const at::Tensor x = at::from_blob(low.values.data(), {1, 1, window.rows, window.columns});
  const at::Tensor guide =
      at::from_blob(dem.values.data(), {1, 2, 2 * window.rows, 2 * window.columns});
  return {at::where(x.eq(0), at::zeros({}), (x - 40) / 30), {{"dem", (guide - 50) / 20}}};
}

double worst_of(const Block& block, const at::Tensor& expected) {
  const at::Tensor flat = expected.contiguous();
  double worst = 0;
  for (std::size_t index = 0; index < block.values.size(); ++index) {
    if (block.valid.data()[index] == 0) continue;
    worst = std::max(
        worst, std::abs(double{block.values.data()[index]} - flat.const_data_ptr<float>()[index]));
  }
  return worst;
}

}  // namespace

TEST_CASE("frozen statistics: tiles equal the whole image with the values of one window") {
  const at::NoGradGuard no_gradients;
  Scene scene(40, 36);
  // No pixel of 0: it marks what is missing, below; the tile in the middle is the only whole one.
  scene.write_low("ntl.tif", [](int, int row, int column) {
    const bool middle = row >= 16 && row < 24 && column >= 16 && column < 24;
    return !middle && (row * 5 + column) % 11 == 0 ? missing : 1 + light(row, column);
  });
  Pooling network;
  const Window all{0, 0, 40, 36};
  const Inputs whole = inputs_of(scene, all);
  for (const auto& [tile, window] :
       {std::pair<std::int64_t, Window>{8, {8, 8, 24, 24}}, {40, all}}) {
    const Inputs seen = inputs_of(scene, window);
    ImageStatistics statistics;
    statistics.pooled["level"] = Pooling::level(seen.x, seen.guides);
    const at::Tensor expected = network.forward(whole.x, whole.guides, &statistics).image * 30 + 40;
    network.passes = network.without = 0;
    PredictRequest request = scene.request();
    request.tile = tile;
    predict(network, scene.card, request);
    CHECK(network.passes == 1);
    CHECK(network.without == 0);
    CHECK(worst_of(RasterReader(scene.folder / "sr.tif").read(), expected) < 1e-5 * 100);
  }
  // The window matters: the test above would notice another one.
  const Inputs corner = inputs_of(scene, {0, 0, 16, 16});
  const Inputs middle = inputs_of(scene, {8, 8, 24, 24});
  CHECK(std::abs((Pooling::level(corner.x, corner.guides) - Pooling::level(middle.x, middle.guides))
                     .item<double>()) > 1e-3);
}

TEST_CASE("frozen statistics: shards, batches and months share no state") {
  const auto content = [](const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  Scene scene(40, 36);
  scene.write_low("feb.tif", [](int, int row, int column) { return 60 + light(column, row); });
  Pooling network;
  PredictRequest request = scene.request();
  request.tile = 8;
  request.self_ensemble = true;
  predict(network, scene.card, request);
  CHECK(network.passes == 8);
  const std::string expected = content(scene.folder / "sr.tif");
  request.low_resolution.insert(request.low_resolution.begin(), scene.folder / "feb.tif");
  request.outputs.insert(request.outputs.begin(), scene.folder / "feb-sr.tif");
  predict(network, scene.card, request);
  CHECK(content(scene.folder / "sr.tif") == expected);
  CHECK(content(scene.folder / "feb-sr.tif") != expected);
  const auto plans = plan_prediction(network, scene.card, request);
  for (const std::int64_t index : {2, 0, 1}) {
    predict_shard(network, scene.card, request, plans, {index, 3});
  }
  merge_shards(scene.card, request, plans);
  CHECK(content(scene.folder / "sr.tif") == expected);
}

TEST_CASE("frozen statistics: MoCoLSK-Net in tiles is the whole image's to 60 dB") {
  const at::NoGradGuard no_gradients;
  at::manual_seed(5);
  MoCoLSKNet network({.scale = 2,
                      .guides = {{"dem", 2}},
                      .stages = 1,
                      .width = 8,
                      .blocks = 1,
                      .reconstruction_blocks = 1,
                      .reduction = 4,
                      .mlp_hidden = 8});
  network->eval();
  Scene scene(128, 96);
  scene.write_low("ntl.tif", [](int, int row, int column) { return 1 + light(row, column); });
  scene.card = card_for(*network);
  const Inputs whole = inputs_of(scene, {0, 0, 128, 96});
  const at::Tensor expected =
      (network->forward(whole.x, whole.guides, nullptr).image * 30 + 40).contiguous();
  PredictRequest request = scene.request();
  double range = 0;
  for (const std::int64_t tile : {128, 32}) {
    request.tile = tile;
    predict(*network, scene.card, request);
    const Block block = RasterReader(scene.folder / "sr.tif").read();
    double squares = 0, low = 1e30, high = -1e30;
    for (std::size_t index = 0; index < block.values.size(); ++index) {
      const double truth = expected.const_data_ptr<float>()[index];
      squares += std::pow(block.values.data()[index] - truth, 2);
      low = std::min(low, truth);
      high = std::max(high, truth);
    }
    range = high - low;
    const double mean = squares / static_cast<double>(block.values.size());
    const double decibels = 10 * std::log10(range * range / std::max(mean, 1e-30));
    MESSAGE("tile ", tile, ": ", decibels, " dB");
    CHECK(decibels >= (tile == 128 ? 100 : 60));
  }
}

TEST_CASE("the warp of a raster read in strips is that of the raster held whole, bit for bit") {
  const at::NoGradGuard no_gradients;
  at::manual_seed(4);
  DeepLightSR network({.scale = 2, .guides = {{"dem", 1}}, .width = 8});
  for (auto& item : network->named_parameters()) {
    if (item.key().find("transformer") != std::string::npos) item.value().normal_(0, 0.1);
  }
  for (const auto& [rows, columns] : {std::pair{3, 5}, {24, 24}, {53, 50}, {97, 24}, {26, 131}}) {
    const at::Tensor image = at::rand({1, 1, rows, columns});
    // As before rasters were read in strips.
    const at::Tensor padded =
        at::replication_pad2d(image, {0, (4 - columns % 4) % 4, 0, (4 - rows % 4) % 4});
    const ImageStatistics expected = network->image_statistics(padded);
    const ImageStatistics whole = network->image_statistics(image);
    std::int64_t largest = 0;
    const ImageStatistics streamed =
        network->streamed_statistics({rows, columns, [&](std::int64_t first, std::int64_t count) {
                                        REQUIRE(first + count <= image.size(2));
                                        largest = std::max(largest, count);
                                        return image.narrow(2, first, count).clone();
                                      }});
    CHECK(at::equal(whole.warp->matrix, expected.warp->matrix));
    CHECK(at::equal(streamed.warp->matrix, expected.warp->matrix));
    CHECK(streamed.warp->centre_x == (columns - 1) / 2.0);
    CHECK(streamed.warp->centre_y == (rows - 1) / 2.0);
    CHECK(expected.warp->matrix.abs().max().item<float>() > 0);
    CHECK(largest <= 24);
  }
}
