// Quality bits in predictions: what they mask is missing, whatever value stands there.
#include "infer/tile_sensitive_scene.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

/// Clouds, and a corner that the quality raster does not know; `snow` elsewhere.
bool is_bad(int row, int column) {
  return (row >= 9 && row < 15 && column > 3 && column < 20) || (row == 36 && column == 28);
}

constexpr double unknown = 255;  // nodata of the quality raster

struct QualityScene : Scene {
  QualityScene() {
    make_raster(folder / "qa.tif",
                {.rows = rows,
                 .columns = columns,
                 .bands = 2,
                 .type = GDT_Byte,
                 .value =
                     [](int band, int row, int column) {
                       if (band == 1) return row == 0 ? 16.0 : 0.0;
                       if (row == 36 && column == 28) return unknown;
                       return is_bad(row, column) ? 8.0 : (row + column) % 2 * 4.0;
                     },
                 .finish = [](GDALDataset& data) { data.GetRasterBand(1)->SetNoDataValue(255); }});
  }
  PredictRequest masked(const std::string& mask, const std::string& output = "sr.tif") const {
    PredictRequest request = this->request(output);
    request.tile = 8;
    request.quality = {QualityMask::parse((folder / mask).string())};
    return request;
  }
};

}  // namespace

TEST_CASE("quality: masked pixels are nodata and leave no trace in the others") {
  QualityScene scene;
  const auto with_garbage = [&](double garbage) {
    scene.write_low("ntl.tif", [garbage](int, int row, int column) {
      return is_bad(row, column) ? garbage + row : light(row, column);
    });
  };
  for (const Consistency consistency : {Consistency::none, Consistency::multiplicative}) {
    for (const bool ensemble : {false, true}) {
      PredictRequest request = scene.masked("qa.tif:3,4-7");
      request.consistency = consistency;
      request.uncertainty = ensemble;
      // What a raster that says itself that these pixels are missing gives.
      with_garbage(missing);
      PredictRequest plain = request;
      plain.quality.clear();
      const Block expected = scene.run(plain);
      CHECK(std::count(expected.valid.begin(), expected.valid.end(), 0) ==
            (6 * 16 + 1) * 4 * (ensemble ? 2 : 1));
      for (const double garbage : {0.0, -1e30, 3e38, std::numeric_limits<double>::infinity()}) {
        with_garbage(garbage);
        const PredictReport report = predict(scene.network, scene.card, request);
        CHECK(report.rasters.front().invalid_pixels == 6 * 16 + 1);
        const Block block = RasterReader(scene.folder / "sr.tif").read();
        CHECK(block.valid == expected.valid);
        CHECK(largest_difference(block, expected) == 0);
      }
    }
  }
}

TEST_CASE("quality: one mask for all rasters or one for each; another band than the first") {
  QualityScene scene;
  const auto invalid = [&](PredictRequest request) {
    std::vector<std::int64_t> counts;
    for (const RasterReport& raster : predict(scene.network, scene.card, request).rasters) {
      counts.push_back(raster.invalid_pixels);
    }
    return counts;
  };
  PredictRequest request = scene.masked("qa.tif@1:4");
  CHECK(invalid(request) == std::vector<std::int64_t>{29});
  scene.write_low("feb.tif", [](int, int row, int column) { return 3 + light(column, row); });
  request.low_resolution.push_back(scene.folder / "feb.tif");
  request.outputs.push_back(scene.folder / "feb-sr.tif");
  CHECK(invalid(request) == std::vector<std::int64_t>{29, 29});
  request.quality.push_back(QualityMask::parse((scene.folder / "qa.tif:3").string()));
  CHECK(invalid(request) == std::vector<std::int64_t>{29, 6 * 16 + 1});
  const auto metadata = raster_info(scene.folder / "feb-sr.tif").metadata;
  CHECK(metadata.at("DEEPLIGHT_QUALITY") == "qa.tif, band 0, bits 3");
  request.quality.push_back(request.quality.front());
  CHECK(contains(scene.refusal<InvalidArgument>(request),
                 "3 quality masks for 2 low-resolution rasters"));
}

TEST_CASE("quality: what cannot be a mask is refused before work begins, and named") {
  QualityScene scene;
  make_raster(scene.folder / "other.tif", {.rows = 37, .columns = 30, .type = GDT_Byte});
  make_raster(scene.folder / "float.tif", {.rows = 37, .columns = 29});
  const auto refused = [&](const std::string& mask) {
    return scene.refusal<InvalidArgument>(scene.masked(mask, "no.tif"));
  };
  CHECK(contains(refused("qa.tif:3,9"),
                 "qa.tif': band 0 (counted from 0) holds uint8, bits 0 to 7; asked for 3,9"));
  CHECK(contains(refused("qa.tif@2:1"), "band 2 (counted from 0) of '"));
  CHECK(contains(refused("float.tif:1"), "float.tif' holds float32"));
  CHECK(contains(scene.refusal<GridMismatch>(scene.masked("other.tif:1", "no.tif")),
                 "other.tif' is 30x37 (columns x rows), expected 29x37"));
  CHECK(contains(scene.refusal<FileError>(scene.masked("gone.tif:1", "no.tif")),
                 "gone.tif' does not exist"));
  CHECK(contains(scene.refusal<InvalidArgument>(scene.masked("qa.tif:3", "qa.tif")),
                 "is also a quality mask"));
}

TEST_CASE("quality: part of the job: resumed and merged only with the same mask") {
  QualityScene scene;
  PredictRequest request = scene.masked("qa.tif:3", "whole.tif");
  predict(scene.network, scene.card, request);
  const std::string expected = bytes_of(scene.folder / "whole.tif");
  request.outputs = {scene.folder / "sr.tif"};
  request.overwrite = false;
  request.progress = [](std::int64_t done, std::int64_t) { return done < 5; };
  CHECK_THROWS_AS(predict(scene.network, scene.card, request), Cancelled);
  request.progress = nullptr;
  request.resume = true;
  PredictRequest other = request;
  other.quality.front().bits = 4;
  const std::string text =
      message_of<InvalidArgument>([&] { predict(scene.network, scene.card, other); });
  CHECK(contains(text, "low_resolution quality bits was 3, is 2"));
  CHECK(predict(scene.network, scene.card, request).rasters.front().resumed >= 5);
  CHECK(bytes_of(scene.folder / "sr.tif") == expected);

  request.outputs = {scene.folder / "shared.tif"};
  const auto plans = plan_prediction(scene.network, scene.card, request);
  for (const std::int64_t index : {1, 0}) {
    predict_shard(scene.network, scene.card, request, plans, {index, 2});
  }
  other.outputs = request.outputs;
  CHECK_THROWS_AS(merge_shards(scene.card, other, plans), InvalidArgument);
  merge_shards(scene.card, request, plans);
  CHECK(bytes_of(scene.folder / "shared.tif") == expected);
}
