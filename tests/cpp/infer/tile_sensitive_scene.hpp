// A small network whose result depends on everything that tiling can break, and rasters for it.
#pragma once

#include "deeplight/infer/predict.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>
#include <torch/nn/modules/conv.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "deeplight/core/errors.hpp"
#include "deeplight/data/preprocessor.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "raster/test_rasters.hpp"

namespace deeplight::test {

inline constexpr double missing = std::numeric_limits<double>::quiet_NaN();

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

inline Card card_for(const Network& network) {
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

inline double light(int row, int column) {
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

/// Many small tiles into an output that must not be there.
inline PredictRequest tiled(const Scene& scene, const std::string& output = "sr.tif") {
  PredictRequest request = scene.request(output);
  request.tile = 8;  // 20 tiles
  request.overwrite = false;
  return request;
}

/// Runs until `tiles` are done, then cancels.
inline void cancel_after(Scene& scene, PredictRequest request, std::int64_t tiles) {
  request.progress = [tiles](std::int64_t done, std::int64_t) { return done < tiles; };
  CHECK_THROWS_AS(predict(scene.network, scene.card, request), Cancelled);
}

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline double largest_difference(const Block& a, const Block& b) {
  REQUIRE(a.values.shape() == b.values.shape());
  double worst = 0;
  for (std::size_t index = 0; index < a.values.size(); ++index) {
    worst = std::max(worst, std::abs(double{a.values.data()[index]} - b.values.data()[index]));
  }
  return worst;
}

/// The network on the whole image, without the engine.
inline at::Tensor whole_image(Scene& scene) {
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

}  // namespace deeplight::test
