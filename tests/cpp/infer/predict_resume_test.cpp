// Interrupted, shared and batched predictions give the bytes of an undisturbed one.
#include "infer/tile_sensitive_scene.hpp"

#include <fstream>

#include "deeplight/infer/non_negative.hpp"
#include "deeplight/infer/self_ensemble.hpp"
#include "deeplight/infer/tile_store.hpp"

using namespace deeplight;
using namespace deeplight::test;
namespace fs = std::filesystem;

namespace {

/// Without an image-wide value that is no warp: a batch has one warp for each of its tiles.
class Local : public TileSensitive {
 public:
  ImageStatistics image_statistics(const at::Tensor&) override { return {}; }
};

/// Cancelled, and no output yet.
void interrupt(Scene& scene, const PredictRequest& request, std::int64_t tiles) {
  cancel_after(scene, request, tiles);
  CHECK_FALSE(fs::exists(request.outputs.front()));
}

}  // namespace

TEST_CASE("resume: byte-identical after an interruption at any tile, and after several") {
  Scene scene;
  const PredictRequest whole = tiled(scene, "whole.tif");
  predict(scene.network, scene.card, whole);
  const std::string expected = bytes_of(whole.outputs.front());
  const std::size_t files = scene.folder.files();
  PredictRequest request = tiled(scene);
  for (const std::int64_t tiles : {1, 2, 7, 19}) {
    interrupt(scene, request, tiles);
    CHECK(fs::exists(scratch_folder(request.outputs.front())));
    request.resume = true;
    const PredictReport report = predict(scene.network, scene.card, request);
    CHECK(report.rasters.front().resumed > 0);
    CHECK(report.rasters.front().resumed <= tiles);
    CHECK(bytes_of(request.outputs.front()) == expected);
    CHECK(scene.folder.files() == files + 1);  // nothing but the output was added
    fs::remove(request.outputs.front());
    request.resume = false;
  }
  interrupt(scene, request, 3);
  request.resume = true;
  interrupt(scene, request, 9);
  interrupt(scene, request, 15);
  std::vector<std::int64_t> seen;
  request.progress = [&](std::int64_t done, std::int64_t total) {
    CHECK(total == 20);
    seen.push_back(done);
    return true;
  };
  predict(scene.network, scene.card, request);
  CHECK(seen[0] == 0);
  CHECK(seen[1] >= 13);
  CHECK(seen.back() == 20);
  CHECK(bytes_of(request.outputs.front()) == expected);
  // With nothing to resume it starts from the beginning.
  fs::remove(request.outputs.front());
  CHECK(predict(scene.network, scene.card, request).rasters.front().resumed == 0);
}

TEST_CASE("resume: without asking for it finished tiles are not lost; overwrite discards them") {
  Scene scene;
  PredictRequest request = tiled(scene);
  interrupt(scene, request, 5);
  const std::string text =
      message_of<InvalidArgument>([&] { predict(scene.network, scene.card, request); });
  CHECK(text.find("--resume") != std::string::npos);
  CHECK(text.find("sr.tif") != std::string::npos);
  request.overwrite = true;
  CHECK(predict(scene.network, scene.card, request).rasters.front().resumed == 0);
}

TEST_CASE("resume: of another job is refused, and what differs is named") {
  Scene scene;
  PredictRequest request = tiled(scene);
  interrupt(scene, request, 5);
  request.resume = true;
  const auto refusal = [&](const PredictRequest& other) {
    return message_of<InvalidArgument>([&] { predict(scene.network, scene.card, other); });
  };
  PredictRequest other = request;
  other.tile = 12;
  CHECK(refusal(other).find("tile was 8, is 12") != std::string::npos);
  other = request;
  other.consistency = Consistency::additive;
  CHECK(refusal(other).find("consistency was none, is additive") != std::string::npos);
  scene.write_guide([](int, int row, int column) { return light(row, column); });
  CHECK(refusal(request).find("guides dem checksum was sha256:") != std::string::npos);
  scene.write_guide([](int band, int row, int column) { return band * 30 + light(column, row); });
  {
    const at::NoGradGuard no_gradients;
    scene.network.parameters().front().add_(0.001);
  }
  CHECK(refusal(request).find("weights sha256 was ") != std::string::npos);
  {
    Scene same;  // the weights of the seed
    CHECK(predict(same.network, scene.card, request).rasters.front().resumed > 0);
  }
}

TEST_CASE("resume: a second writer of the same output is told who the first is") {
  Scene scene;
  PredictRequest request = tiled(scene);
  std::string text;
  request.progress = [&](std::int64_t done, std::int64_t) {
    if (done == 2) {
      Scene other;
      text = message_of<FileError>([&] {
        PredictRequest second = request;
        second.progress = nullptr;
        predict(other.network, other.card, second);
      });
    }
    return true;
  };
  predict(scene.network, scene.card, request);
  CHECK(text.find("is being written by process ") != std::string::npos);
  CHECK(fs::exists(request.outputs.front()));
}

TEST_CASE("shards: planned, computed in any number and order, resumed, merged: the same bytes") {
  Scene scene;
  PredictRequest whole = tiled(scene, "whole.tif");
  whole.consistency = Consistency::multiplicative;
  predict(scene.network, scene.card, whole);
  const std::string expected = bytes_of(whole.outputs.front());
  PredictRequest request = whole;
  request.outputs = {scene.folder / "sr.tif"};
  const auto plans = plan_prediction(scene.network, scene.card, request);
  REQUIRE(plans.size() == 1);
  CHECK(plans.front().tiles == 20);
  CHECK(plans.front().groups == 20);
  const auto shard = [&](std::int64_t index, std::int64_t count) {
    return predict_shard(scene.network, scene.card, request, plans, {index, count}).rasters.front();
  };
  for (const std::int64_t count : {1, 3, 30}) {
    std::int64_t tiles = 0;
    for (std::int64_t index = count - 1; index >= 0; --index) tiles += shard(index, count).tiles;
    CHECK(tiles == 20);
    const PredictReport report = merge_shards(scene.card, request, plans);
    CHECK(report.rasters.front().light_ratio == doctest::Approx(1).epsilon(1e-5));
    CHECK(bytes_of(request.outputs.front()) == expected);
    fs::remove(request.outputs.front());
  }
  // Incomplete: says so and writes nothing.
  shard(0, 3);
  CHECK(shard(0, 3).resumed == 6);
  const std::string text =
      message_of<InvalidArgument>([&] { merge_shards(scene.card, request, plans); });
  CHECK(text.find("14 of 20 tiles are missing, the first is 6") != std::string::npos);
  CHECK_FALSE(fs::exists(request.outputs.front()));
  // Shards of different counts together.
  shard(1, 2);
  shard(1, 5);
  shard(2, 5);
  merge_shards(scene.card, request, plans);
  CHECK(bytes_of(request.outputs.front()) == expected);
}

TEST_CASE("shards: damaged tiles, other jobs and shards that do not exist are refused") {
  Scene scene;
  PredictRequest request = tiled(scene);
  const auto plans = plan_prediction(scene.network, scene.card, request);
  const auto refusal = [&](const PredictRequest& other, Shard shard) {
    return message_of<InvalidArgument>(
        [&] { predict_shard(scene.network, scene.card, other, plans, shard); });
  };
  CHECK(refusal(request, {2, 2}).find("shard 2 of 2") != std::string::npos);
  PredictRequest other = request;
  other.self_ensemble = true;
  CHECK(refusal(other, {0, 2}).find("self_ensemble was false, is true") != std::string::npos);
  predict_shard(scene.network, scene.card, request, plans, {0, 1});
  {
    const fs::path tiles = shard_folder(request, 0, {0, 1}) / "tiles";
    std::fstream file(tiles, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(1000);
    file.put('x');
  }
  CHECK(message_of<FormatError>([&] {
          merge_shards(scene.card, request, plans);
        }).find("checksum does not hold") != std::string::npos);
  CHECK_FALSE(fs::exists(request.outputs.front()));
  predict_shard(scene.network, scene.card, request, plans, {0, 1});  // mends it
  merge_shards(scene.card, request, plans);
  CHECK(fs::exists(request.outputs.front()));
}

TEST_CASE("batches: tiles of equal shape together equal tiles alone; resumed groups stay whole") {
  for (const bool ensemble : {false, true}) {
    Scene scene(64, 48);
    Local network;
    const auto run = [&](const PredictRequest& request) {
      predict(network, scene.card, request);
      return RasterReader(request.outputs.front()).read();
    };
    PredictRequest alone = tiled(scene, "alone.tif");
    alone.self_ensemble = ensemble;
    const Block expected = run(alone);
    PredictRequest request = tiled(scene);
    request.self_ensemble = ensemble;
    request.batch = 3;
    const auto plans = plan_prediction(network, scene.card, request);
    CHECK(plans.front().tiles == 48);
    CHECK(plans.front().groups < 48);
    CHECK(largest_difference(run(request), expected) < 1e-5 * 100);
    const std::string bytes = bytes_of(request.outputs.front());
    fs::remove(request.outputs.front());
    request.progress = [](std::int64_t done, std::int64_t) { return done < 10; };
    CHECK_THROWS_AS(run(request), Cancelled);
    request.progress = nullptr;
    request.resume = true;
    CHECK(predict(network, scene.card, request).rasters.front().resumed >= 10);
    CHECK(bytes_of(request.outputs.front()) == bytes);
  }
}

TEST_CASE("stages: reading ahead or not, few threads or many: the same bytes") {
  Scene scene;
  std::string expected;
  for (const std::int64_t prefetch : {1, 0, 4}) {
    for (const std::int64_t threads : {1, 2}) {
      PredictRequest request = scene.request();
      request.tile = 8;
      request.prefetch = prefetch;
      request.threads = threads;
      predict(scene.network, scene.card, request);
      const std::string bytes = bytes_of(request.outputs.front());
      if (expected.empty()) expected = bytes;
      CHECK(bytes == expected);
    }
  }
}

TEST_CASE("tiles without a valid pixel are not computed and are nodata") {
  Scene scene(40, 40);
  scene.write_low("ntl.tif", [](int, int row, int column) {
    return row >= 16 && column < 24 ? missing : light(row, column);
  });
  PredictRequest request = scene.request();
  request.tile = 8;
  const Block block = scene.run(request);
  std::int64_t invalid = std::count(block.valid.begin(), block.valid.end(), 0);
  CHECK(invalid == 24 * 24 * 4);
  request.tile = 40;
  CHECK(largest_difference(scene.run(request), block) < 1e-5 * 100);
}

TEST_CASE("uncertainty: a second band with the spread of the eight, tiled or not") {
  Scene scene;
  PredictRequest request = scene.request();
  request.self_ensemble = true;
  const Block mean = scene.run(request);
  request.uncertainty = true;
  request.tile = 12;
  const Block both = scene.run(request);
  REQUIRE(both.values.shape(0) == 2);
  // The spread of the eight images, each computed by hand.
  const at::NoGradGuard no_gradients;
  Block low = RasterReader(scene.folder / "ntl.tif").read();
  Block dem = RasterReader(scene.folder / "dem.tif").read();
  const at::Tensor x = (at::from_blob(low.values.data(), {1, 1, 37, 29}) - 40) / 30;
  const at::Tensor guide = (at::from_blob(dem.values.data(), {1, 2, 74, 58}) - 50) / 20;
  std::vector<at::Tensor> images;
  for (const Symmetry& symmetry : symmetries(true)) {
    const at::Tensor seen = symmetry.apply(x);
    const ImageStatistics statistics = scene.network.image_statistics(seen);
    images.push_back(symmetry.undo(
        scene.network.forward(seen, {{"dem", symmetry.apply(guide)}}, &statistics).image * 30 +
        40));
  }
  const at::Tensor spread =
      at::stack(images).to(at::kDouble).std(0, /*unbiased=*/true).contiguous();
  CHECK(spread.max().item<double>() > 1);
  double worst = 0, worst_mean = 0;
  for (std::int64_t index = 0; index < 74 * 58; ++index) {
    worst = std::max(worst, std::abs(both.values.data()[74 * 58 + index] -
                                     spread.const_data_ptr<double>()[index]));
    worst_mean = std::max(worst_mean,
                          std::abs(double{both.values.data()[index]} - mean.values.data()[index]));
  }
  CHECK(worst < 1e-3);
  CHECK(worst_mean < 1e-3);
  const RasterInfo info = raster_info(scene.folder / "sr.tif");
  CHECK(info.bands[1].name.find("standard deviation") == 0);
}

TEST_CASE("non-negative: the nearest image of at least 0 with the given block means") {
  at::manual_seed(1);
  const at::Tensor image = at::randn({2, 1, 12, 8}) * 3;
  const at::Tensor low = at::rand({2, 1, 3, 2}) * 2;
  low.view(-1)[0] = 0;
  const at::Tensor projected = non_negative_block_mean(image, low, 4);
  CHECK(projected.min().item<float>() >= 0);
  CHECK((at::avg_pool2d(projected, {4, 4}) - low).abs().max().item<float>() < 1e-6);
  // No other image of this kind is nearer: every step towards one goes uphill.
  const at::Tensor gradient = projected - image;
  for (int trial = 0; trial < 50; ++trial) {
    at::Tensor other = at::rand({2, 1, 12, 8}).pow(4);
    const at::Tensor mean = at::avg_pool2d(other, {4, 4});
    other = other * (low / mean).repeat_interleave(4, 2).repeat_interleave(4, 3);
    const at::Tensor slope = (gradient * (other - projected)).sum({2, 3});
    CHECK(slope.min().item<float>() > -1e-3);
  }
  CHECK((non_negative_block_mean(projected, low, 4) - projected).abs().max().item<float>() < 1e-6);
}

TEST_CASE("non-negative outputs keep the total light where consistency is asked for") {
  Scene scene;
  for (const Consistency consistency :
       {Consistency::none, Consistency::additive, Consistency::multiplicative}) {
    PredictRequest request = scene.request();
    const Block free = scene.run(request);
    CHECK(*std::min_element(free.values.begin(), free.values.end()) < 0);
    request.consistency = consistency;
    request.non_negative = true;
    request.tile = 12;
    const PredictReport report = predict(scene.network, scene.card, request);
    const Block block = RasterReader(scene.folder / "sr.tif").read();
    CHECK(*std::min_element(block.values.begin(), block.values.end()) >= 0);
    if (consistency == Consistency::none) continue;
    CHECK(report.rasters.front().light_ratio == doctest::Approx(1).epsilon(1e-6));
  }
}

TEST_CASE("the output says what made it: weights, options, checksums of the inputs, light") {
  Scene scene;
  PredictRequest request = scene.request();
  const PredictReport report = predict(scene.network, scene.card, request);
  const auto metadata = raster_info(scene.folder / "sr.tif").metadata;
  CHECK(metadata.at("DEEPLIGHT_WEIGHTS_SHA256").size() == 64);
  CHECK(metadata.at("DEEPLIGHT_INPUT") == "ntl.tif");
  CHECK(metadata.at("DEEPLIGHT_INPUT_CHECKSUM").find("pixels:sha256:") == 0);
  CHECK(metadata.at("DEEPLIGHT_GUIDE_dem") == "dem.tif");
  CHECK(metadata.at("DEEPLIGHT_GUIDE_dem_CHECKSUM").find("sha256:") == 0);
  CHECK(metadata.at("DEEPLIGHT_OPTIONS").find("\"tile\":256") != std::string::npos);
  CHECK(std::stod(metadata.at("DEEPLIGHT_LIGHT_RATIO")) == report.rasters.front().light_ratio);
  CHECK(std::stod(metadata.at("DEEPLIGHT_MEAN_IN")) == report.rasters.front().mean_in);
}
