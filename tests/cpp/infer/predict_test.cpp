// Tiled prediction against the whole image, validity, checks, cancelling; on a small network whose
// result depends on everything that tiling can break.
#include "deeplight/infer/predict.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>
#include <torch/nn/modules/conv.h>

#include <cmath>
#include <limits>

#include "deeplight/core/errors.hpp"
#include "deeplight/data/preprocessor.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "raster/test_rasters.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

/// Bicubic upsampling, a 7x7 convolution, means over an absolute grid of 4x4 pixels, guides through
/// a 3x3 convolution, and a ramp about the whole image's centre scaled by the whole image's mean.
class TileSensitive : public Network {
 public:
  explicit TileSensitive(bool with_guide = true) : with_guide_(with_guide) {
    at::manual_seed(3);
    wide_ =
        register_module("wide", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 1, 7).padding(3)));
    if (with_guide) {
      fine_ =
          register_module("fine", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 1, 3).padding(1)));
    }
  }
  std::string architecture() const override { return "tile_sensitive"; }
  Json options() const override { return Json::object(); }
  std::int64_t scale() const override { return 2; }
  std::vector<Guide> guides() const override {
    return with_guide_ ? std::vector<Guide>{{"dem", 2}} : std::vector<Guide>{};
  }
  std::int64_t margin() const override { return 6; }
  std::int64_t tile_multiple() const override { return 4; }
  ImageStatistics image_statistics(const at::Tensor& image) override {
    ++statistics_calls;
    ImageStatistics statistics;
    statistics.warp =
        Warp{image.mean().expand({1, 2, 3}), (image.size(3) - 1) / 2.0, (image.size(2) - 1) / 2.0};
    return statistics;
  }
  Output forward(const at::Tensor& x, const GuideTensors& guides,
                 const ImageStatistics* statistics) override {
    saw_training = saw_training || is_training();
    const std::int64_t rows = x.size(2), columns = x.size(3);
    at::Tensor y = x + wide_->forward(x);
    const at::Tensor padded =
        at::replication_pad2d(x, {0, (4 - columns % 4) % 4, 0, (4 - rows % 4) % 4});
    const at::Tensor means =
        at::avg_pool2d(padded, {4, 4}).repeat_interleave(4, 2).repeat_interleave(4, 3);
    y = y + means.narrow(2, 0, rows).narrow(3, 0, columns);
    if (statistics != nullptr && statistics->warp) {
      const Warp& warp = *statistics->warp;
      const at::Tensor level = warp.matrix.mean();
      y = y + level * 0.1 * (at::arange(columns).view({1, 1, 1, -1}) - warp.centre_x) +
          level * 0.3 * (at::arange(rows).view({1, 1, -1, 1}) - warp.centre_y);
    }
    at::Tensor image = at::upsample_bicubic2d(y, {2 * rows, 2 * columns}, false);
    if (with_guide_) image = image + fine_->forward(guides.at("dem"));
    return {image, {image}, {}};
  }

  int statistics_calls = 0;
  bool saw_training = false;

 private:
  bool with_guide_;
  torch::nn::Conv2d wide_{nullptr}, fine_{nullptr};
};

Card card_for(const Network& network) {
  Card card;
  card.name = "test";
  card.architecture = network.architecture();
  card.scale = network.scale();
  card.preprocessing.low_resolution.mean = 40;
  card.preprocessing.low_resolution.std = 30;
  card.preprocessing.output = card.preprocessing.low_resolution;
  for (const Guide& guide : network.guides()) {
    GuideDescription description;
    description.name = guide.name;
    description.bands = guide.bands;
    description.mean.assign(static_cast<std::size_t>(guide.bands), 50);
    description.std.assign(static_cast<std::size_t>(guide.bands), 20);
    card.preprocessing.guides.push_back(description);
  }
  return card;
}

double light(int row, int column) {
  return (row * 7919 + column * 104729 + row * column) % 97;
}

struct Scene {
  TemporaryFolder folder;
  TileSensitive network;
  Card card = card_for(network);
  int rows, columns;

  explicit Scene(int rows_ = 37, int columns_ = 29) : rows(rows_), columns(columns_) {
    write_low("ntl.tif", [](int, int row, int column) { return light(row, column); });
    write_guide([](int band, int row, int column) { return band * 30 + light(column, row); });
  }
  void write_low(
      const std::string& name, std::function<double(int, int, int)> value,
      std::function<void(GDALDataset&)> finish = [](GDALDataset&) {}) {
    make_raster(
        folder / name,
        {.rows = rows, .columns = columns, .value = std::move(value), .finish = std::move(finish)});
  }
  void write_guide(std::function<double(int, int, int)> value,
                   const std::string& name = "dem.tif") {
    make_raster(folder / name, {.rows = 2 * rows,
                                .columns = 2 * columns,
                                .bands = 2,
                                .geotransform = {500000, 500, 0, 9000000, 0, -500},
                                .value = std::move(value)});
  }
  PredictRequest request(const std::string& output = "sr.tif") const {
    PredictRequest request;
    request.low_resolution = {folder / "ntl.tif"};
    request.outputs = {folder / output};
    request.guides = {{"dem", folder / "dem.tif"}};
    request.overwrite = true;
    return request;
  }
  Block run(const PredictRequest& request) {
    predict(network, card, request);
    return RasterReader(request.outputs.front()).read();
  }
  template <class Exception>
  std::string refusal(const PredictRequest& request) {
    const std::size_t before = folder.files();
    const std::string text = message_of<Exception>([&] { predict(network, card, request); });
    CHECK(folder.files() == before);
    return text;
  }
};

double largest_difference(const Block& a, const Block& b) {
  REQUIRE(a.values.shape() == b.values.shape());
  double worst = 0;
  for (std::size_t index = 0; index < a.values.size(); ++index) {
    worst = std::max(worst, std::abs(double{a.values.data()[index]} - b.values.data()[index]));
  }
  return worst;
}

/// The network on the whole image, without the engine.
at::Tensor whole_image(Scene& scene) {
  const at::NoGradGuard no_gradients;
  Block low = RasterReader(scene.folder / "ntl.tif").read();
  Block dem = RasterReader(scene.folder / "dem.tif").read();
  const at::Tensor x =
      (at::from_blob(low.values.data(), {1, 1, scene.rows, scene.columns}) - 40) / 30;
  const at::Tensor guide =
      (at::from_blob(dem.values.data(), {1, 2, 2 * scene.rows, 2 * scene.columns}) - 50) / 20;
  const ImageStatistics statistics = scene.network.image_statistics(x);
  return scene.network.forward(x, {{"dem", guide}}, &statistics).image * 30 + 40;
}

}  // namespace

TEST_CASE("predict: tiles equal the whole image, whatever their size") {
  for (const auto& [rows, columns] : {std::pair{37, 29}, {1, 1}, {64, 48}, {3, 53}}) {
    Scene scene(rows, columns);
    const at::Tensor expected = whole_image(scene);
    Block reference;
    reference.values = make_array<ValueArray>(1, 2 * rows, 2 * columns);
    std::copy_n(expected.contiguous().const_data_ptr<float>(), reference.values.size(),
                reference.values.data());
    for (const std::int64_t tile : {1, 4, 7, 16, 20, 1000}) {
      PredictRequest request = scene.request();
      request.tile = tile;
      const Block block = scene.run(request);
      CHECK(largest_difference(block, reference) < 1e-5 * 100);
      CHECK(std::count(block.valid.begin(), block.valid.end(), 0) == 0);
    }
  }
}

TEST_CASE("predict: guides prepared in strips equal guides prepared whole, contrast included") {
  class Contrast : public TileSensitive {
   public:
    Contrast() : TileSensitive(false) {}
    std::int64_t margin() const override { return 0; }
    std::vector<Guide> guides() const override { return {{"dem", 4}}; }
    Output forward(const at::Tensor& x, const GuideTensors& guides,
                   const ImageStatistics*) override {
      return {guides.at("dem").sum(1, true), {}, {}};
    }
  };
  Scene scene(40, 30000);  // a strip of 2^22 values is 34 of the 80 rows
  scene.write_guide([](int band, int row, int column) {
    return (row * 7 + column) % 41 == 3 ? missing : band * 30 + light(column, row);
  });
  Contrast network;
  scene.card.preprocessing.guides[0].local_contrast = true;
  scene.card.preprocessing.contrast_window = 9;
  scene.card.preprocessing.output = {};
  PredictRequest request = scene.request();
  Block dem = RasterReader(scene.folder / "dem.tif").read();
  const at::Tensor expected =
      Preprocessor(scene.card.preprocessing, 2)
          .guide("dem", at::from_blob(dem.values.data(), {1, 2, 80, 60000}),
                 at::from_blob(dem.valid.data(), {1, 2, 80, 60000}, at::kByte))
          .sum(1)
          .contiguous();
  for (const std::int64_t tile : {30000, 5000}) {
    request.tile = tile;
    predict(network, scene.card, request);
    const Block block = RasterReader(scene.folder / "sr.tif").read();
    double worst = 0;
    for (std::size_t index = 0; index < block.values.size(); ++index) {
      worst = std::max(worst, std::abs(double{block.values.data()[index]} -
                                       expected.const_data_ptr<float>()[index]));
    }
    CHECK(worst < 1e-5);
  }
}

TEST_CASE("predict: the self-ensemble is the mean over eight symmetries, tiled or not") {
  Scene scene;
  const at::NoGradGuard no_gradients;
  Block low = RasterReader(scene.folder / "ntl.tif").read();
  Block dem = RasterReader(scene.folder / "dem.tif").read();
  const at::Tensor x = (at::from_blob(low.values.data(), {1, 1, 37, 29}) - 40) / 30;
  const at::Tensor guide = (at::from_blob(dem.values.data(), {1, 2, 74, 58}) - 50) / 20;
  at::Tensor mean = at::zeros({1, 1, 74, 58});
  for (int turns = 0; turns < 4; ++turns) {
    for (const bool flip : {false, true}) {
      const auto turn = [&](const at::Tensor& image) {
        const at::Tensor turned = at::rot90(image, turns, {2, 3});
        return (flip ? turned.flip({3}) : turned).contiguous();
      };
      const at::Tensor seen = turn(x);
      const ImageStatistics statistics = scene.network.image_statistics(seen);
      at::Tensor image = scene.network.forward(seen, {{"dem", turn(guide)}}, &statistics).image;
      if (flip) image = image.flip({3});
      mean += at::rot90(image, -turns, {2, 3}) / 8;
    }
  }
  mean = (mean * 30 + 40).contiguous();
  for (const std::int64_t tile : {8, 12, 64}) {
    PredictRequest request = scene.request();
    request.tile = tile;
    request.self_ensemble = true;
    const Block block = scene.run(request);
    double worst = 0;
    for (std::size_t index = 0; index < block.values.size(); ++index) {
      worst = std::max(worst, std::abs(double{block.values.data()[index]} -
                                       mean.const_data_ptr<float>()[index]));
    }
    CHECK(worst < 1e-5 * 100);
  }
}

TEST_CASE("predict: statistics once per raster, evaluation mode, gradients untouched") {
  Scene scene;
  scene.network.train();
  PredictRequest request = scene.request();
  request.tile = 8;
  const PredictReport report = predict(scene.network, scene.card, request);
  CHECK(report.rasters.front().tiles == 5 * 4);
  CHECK(scene.network.statistics_calls == 1);
  CHECK_FALSE(scene.network.saw_training);
  CHECK(scene.network.is_training());
  CHECK_FALSE(scene.network.parameters().front().grad().defined());
}

TEST_CASE("predict: the output keeps georeference, name, units and says where it comes from") {
  Scene scene;
  scene.write_low(
      "ntl.tif", [](int, int row, int column) { return light(row, column); },
      [](GDALDataset& dataset) {
        dataset.GetRasterBand(1)->SetNoDataValue(-5);
        dataset.GetRasterBand(1)->SetDescription("lights");
        dataset.GetRasterBand(1)->SetUnitType("nW/cm2/sr");
      });
  predict(scene.network, scene.card, scene.request());
  const RasterInfo info = raster_info(scene.folder / "sr.tif");
  CHECK(info.grid.rows == 74);
  CHECK(info.grid.geotransform == std::array<double, 6>{500000, 500, 0, 9000000, 0, -500});
  CHECK(crs_name(info.grid.crs_wkt) == "EPSG:32622");
  CHECK(info.bands[0].nodata.value() == -5);
  CHECK(info.bands[0].name == "lights");
  CHECK(info.bands[0].units == "nW/cm2/sr");
  CHECK(info.bands[0].dtype == "float32");
  CHECK(info.metadata.at("DEEPLIGHT_MODEL") == "test");
  CHECK(info.metadata.at("DEEPLIGHT_SCALE") == "2");
  CHECK(info.metadata.count("DEEPLIGHT_LIGHT_RATIO") == 1);
}

TEST_CASE("predict: invalid low-resolution pixels become nodata, exactly those") {
  Scene scene;
  scene.write_low("ntl.tif", [](int, int row, int column) {
    return row == 5 && column < 3 ? missing : light(row, column);
  });
  PredictRequest request = scene.request();
  request.tile = 8;
  const Block block = scene.run(request);
  bool exact = true;
  for (int row = 0; row < 74; ++row) {
    for (int column = 0; column < 58; ++column) {
      const bool expected = !(row / 2 == 5 && column / 2 < 3);
      exact = exact && (block.valid(0, static_cast<std::size_t>(row),
                                    static_cast<std::size_t>(column)) != 0) == expected;
    }
  }
  CHECK(exact);
  // Zero nodata would hide darkness: the output's is NaN then.
  scene.write_low(
      "ntl.tif", [](int, int row, int column) { return light(row, column); },
      [](GDALDataset& data) { data.GetRasterBand(1)->SetNoDataValue(0); });
  predict(scene.network, scene.card, scene.request());
  CHECK(std::isnan(raster_info(scene.folder / "sr.tif").bands[0].nodata.value()));
  request = scene.request();
  request.nodata = -1;
  predict(scene.network, scene.card, request);
  CHECK(raster_info(scene.folder / "sr.tif").bands[0].nodata.value() == -1);
}

TEST_CASE("predict: NaN in a guide changes nothing beyond its reach and invalidates nothing") {
  Scene scene;
  const Block clean = scene.run(scene.request());
  scene.write_guide([](int band, int row, int column) {
    return row == 30 && column == 20 && band == 1 ? missing : band * 30 + light(column, row);
  });
  const Block block = scene.run(scene.request());
  CHECK(std::count(block.valid.begin(), block.valid.end(), 0) == 0);
  int changed = 0;
  bool outside = false;
  for (int row = 0; row < 74; ++row) {
    for (int column = 0; column < 58; ++column) {
      const auto r = static_cast<std::size_t>(row), c = static_cast<std::size_t>(column);
      if (clean.values(0, r, c) == block.values(0, r, c)) continue;
      ++changed;
      outside = outside || std::abs(row - 30) > 1 || std::abs(column - 20) > 1;
    }
  }
  CHECK(changed > 0);
  CHECK(changed <= 9);
  CHECK_FALSE(outside);
}

TEST_CASE("predict: several rasters with the same guides; light ratios are those of the files") {
  Scene scene;
  scene.write_low("feb.tif", [](int, int row, int column) { return 3 + light(column, row); });
  PredictRequest request = scene.request();
  request.low_resolution.push_back(scene.folder / "feb.tif");
  request.outputs.push_back(scene.folder / "feb-sr.tif");
  request.tile = 16;
  const PredictReport report = predict(scene.network, scene.card, request);
  REQUIRE(report.rasters.size() == 2);
  for (std::size_t index = 0; index < 2; ++index) {
    const auto mean = [](const Block& block) {
      double sum = 0;
      for (const float value : block.values) sum += value;
      return sum / static_cast<double>(block.values.size());
    };
    const double in = mean(RasterReader(request.low_resolution[index]).read());
    const double out = mean(RasterReader(request.outputs[index]).read());
    CHECK(report.rasters[index].mean_in == doctest::Approx(in));
    CHECK(report.rasters[index].mean_out == doctest::Approx(out));
    CHECK(report.rasters[index].light_ratio == doctest::Approx(out / in));
    CHECK(report.rasters[index].valid_pixels == 37 * 29);
  }
  // Each as if it were alone.
  const Block together = RasterReader(scene.folder / "feb-sr.tif").read();
  request.low_resolution = {scene.folder / "feb.tif"};
  request.outputs = {scene.folder / "alone.tif"};
  CHECK(largest_difference(scene.run(request), together) == 0);
}

TEST_CASE("predict: consistency makes block means equal the input") {
  Scene scene;
  const Block low = RasterReader(scene.folder / "ntl.tif").read();
  for (const Consistency consistency : {Consistency::additive, Consistency::multiplicative}) {
    PredictRequest request = scene.request();
    request.consistency = consistency;
    request.tile = 12;
    const PredictReport report = predict(scene.network, scene.card, request);
    CHECK(report.rasters.front().light_ratio == doctest::Approx(1).epsilon(1e-6));
    const Block block = RasterReader(scene.folder / "sr.tif").read();
    double worst = 0;
    for (std::size_t row = 0; row < 37; ++row) {
      for (std::size_t column = 0; column < 29; ++column) {
        const double mean =
            (double{block.values(0, 2 * row, 2 * column)} +
             block.values(0, 2 * row, 2 * column + 1) + block.values(0, 2 * row + 1, 2 * column) +
             block.values(0, 2 * row + 1, 2 * column + 1)) /
            4;
        worst = std::max(worst, std::abs(mean - low.values(0, row, column)));
      }
    }
    CHECK(worst < 1e-4);
  }
}

TEST_CASE("predict: cancelling leaves no file; progress counts every tile") {
  Scene scene;
  std::vector<std::int64_t> seen;
  PredictRequest request = scene.request();
  request.tile = 16;
  request.progress = [&](std::int64_t done, std::int64_t total) {
    CHECK(total == 6);
    seen.push_back(done);
    return true;
  };
  predict(scene.network, scene.card, request);
  CHECK(seen == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6});
  std::filesystem::remove(scene.folder / "sr.tif");
  for (const std::int64_t stop : {0, 1, 5, 6}) {
    request.progress = [&](std::int64_t done, std::int64_t) { return done < stop; };
    CHECK(contains(scene.refusal<Cancelled>(request), "of 6 tiles"));
  }
  request.progress = [&](std::int64_t done, std::int64_t) -> bool {
    if (done == 2) throw std::runtime_error("from the callback");
    return true;
  };
  CHECK(scene.refusal<std::runtime_error>(request) == "from the callback");
}

TEST_CASE("predict: one clear error before work begins, and no file") {
  Scene scene;
  const auto with_guides = [&](std::vector<std::pair<std::string, std::filesystem::path>> guides) {
    PredictRequest request = scene.request("no.tif");
    request.guides = std::move(guides);
    return request;
  };
  const std::filesystem::path dem = scene.folder / "dem.tif";
  CHECK(contains(scene.refusal<InvalidArgument>(with_guides({})),
                 "guide 'dem' (2 bands) is missing"));
  CHECK(contains(scene.refusal<InvalidArgument>(with_guides({{"dmo", dem}, {"dem", dem}})),
                 "did you mean 'dem'"));
  CHECK(contains(scene.refusal<InvalidArgument>(with_guides({{"dem", dem}, {"dem", dem}})),
                 "given twice"));
  CHECK(contains(scene.refusal<FileError>(with_guides({{"dem", scene.folder / "gone.tif"}})),
                 "gone.tif' does not exist"));
  CHECK(contains(scene.refusal<InvalidArgument>(with_guides({{"dem", scene.folder / "ntl.tif"}})),
                 "has 1 band, expected 2"));
  make_raster(scene.folder / "small.tif", {.rows = 73, .columns = 58, .bands = 2});
  CHECK(contains(scene.refusal<GridMismatch>(with_guides({{"dem", scene.folder / "small.tif"}})),
                 "is 58x73 (columns x rows), expected 58x74 = 2 x low resolution 29x37"));

  PredictRequest request = scene.request("no.tif");
  request.low_resolution = {scene.folder / "gone.tif"};
  CHECK(contains(scene.refusal<FileError>(request), "gone.tif"));
  request.low_resolution = {dem};
  request.guides = {{"dem", scene.folder / "small.tif"}};
  CHECK(contains(scene.refusal<InvalidArgument>(request), "has 2 bands, expected 1"));
  request = scene.request("missing/no.tif");
  CHECK(contains(scene.refusal<FileError>(request), "does not exist"));
  request = scene.request("ntl.tif");
  CHECK(contains(scene.refusal<InvalidArgument>(request), "is also an input"));
  request = scene.request("dem.tif");
  CHECK(contains(scene.refusal<InvalidArgument>(request), "is also guide 'dem'"));
  request = scene.request("small.tif");
  request.overwrite = false;
  CHECK(contains(scene.refusal<FileError>(request), "exists already"));
  request = scene.request("no.tif");
  request.outputs.push_back(scene.folder / "two.tif");
  CHECK(contains(scene.refusal<InvalidArgument>(request), "2 outputs for 1"));
  request = scene.request("no.tif");
  request.tile = 0;
  CHECK(contains(scene.refusal<InvalidArgument>(request), "tile"));

  scene.write_low("dark.tif", [](int, int, int) { return missing; });
  request = scene.request("no.tif");
  request.low_resolution = {scene.folder / "ntl.tif", scene.folder / "dark.tif"};
  request.outputs = {scene.folder / "no.tif", scene.folder / "no2.tif"};
  CHECK(contains(scene.refusal<InvalidArgument>(request), "dark.tif' has no valid pixel"));
  scene.write_low("negative.tif", [](int, int row, int) { return row - 3; });
  request = scene.request("no.tif");
  request.low_resolution = {scene.folder / "negative.tif"};
  request.consistency = Consistency::multiplicative;
  CHECK(contains(scene.refusal<InvalidArgument>(request), "holds -3"));

  scene.card.scale = 4;
  CHECK(contains(scene.refusal<InvalidArgument>(scene.request("no.tif")), "scale 4"));
  scene.card.scale = 2;
  scene.card.preprocessing.guides[0].local_contrast = true;
  CHECK(contains(scene.refusal<InvalidArgument>(scene.request("no.tif")), "dem:4"));
}

TEST_CASE("predict: a guide of another grid is warped when asked") {
  Scene scene;
  make_raster(scene.folder / "coarse.tif",
              {.rows = 20,
               .columns = 20,
               .bands = 2,
               .geotransform = {499000, 2000, 0, 9001000, 0, -2000},
               .value = [](int band, int, int) { return 20 + band * 30; }});
  PredictRequest request = scene.request();
  request.guides = {{"dem", scene.folder / "coarse.tif"}};
  CHECK_THROWS_AS(predict(scene.network, scene.card, request), GridMismatch);
  request.align = true;
  request.tile = 8;
  const Block aligned = scene.run(request);
  scene.write_guide([](int band, int, int) { return 20 + band * 30; });
  CHECK(largest_difference(aligned, scene.run(scene.request())) < 1e-3);
}

TEST_CASE("predict: warnings of cells, values and units far from training") {
  Scene scene;
  Card& card = scene.card;
  CHECK(predict(scene.network, card, scene.request()).warnings.empty());
  card.cell_size = {1000, 1000};
  card.cell_size_units = "metre";
  card.preprocessing.low_resolution.maximum = 100;
  CHECK(predict(scene.network, card, scene.request()).warnings.empty());
  card.cell_size = {0.1, 0.1};
  card.cell_size_units = "degree";
  card.preprocessing.low_resolution.maximum = 10000;
  const auto warnings = predict(scene.network, card, scene.request()).warnings;
  REQUIRE(warnings.size() == 2);
  CHECK(contains(warnings[0], "1000 m"));
  CHECK(contains(warnings[0], "11132 m"));
  CHECK(contains(warnings[1], "from 0 to 96"));
}

TEST_CASE("predict: what the network makes NaN is nodata and said so") {
  Scene scene;
  {
    const at::NoGradGuard no_gradients;
    scene.network.named_parameters()["fine.bias"].fill_(missing);
  }
  const PredictReport report = predict(scene.network, scene.card, scene.request());
  REQUIRE(report.warnings.size() == 1);
  CHECK(contains(report.warnings[0], "4292 pixels"));
  const Block block = RasterReader(scene.folder / "sr.tif").read();
  CHECK(std::count(block.valid.begin(), block.valid.end(), 1) == 0);
}
