// Tiled prediction against the whole image: tiles, ensemble, strips, validity, consistency.
#include "infer/tile_sensitive_scene.hpp"

using namespace deeplight;
using namespace deeplight::test;

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
  scene.card.preprocessing.guides[0].contrast = GuideContrast::difference;
  scene.card.preprocessing.contrast_windows = {9};
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
