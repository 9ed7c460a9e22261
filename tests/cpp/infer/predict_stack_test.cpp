// Several low resolutions in one call: guides are read once, each result is as if alone.
#include <cpl_conv.h>
#include <gdal.h>

#include <algorithm>

#include "infer/tile_sensitive_scene.hpp"
#include "raster/faulty_files.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

/// Twelve months, the guide where reads are counted.
struct Months : Scene {
  FaultyFiles& files = FaultyFiles::instance();

  Months() {
    for (int month = 0; month < 12; ++month) {
      write_low(name(month), [month](int, int row, int column) {
        return month == 5 && row < 16 ? missing : month + light(row, column);
      });
    }
    write_guide([](int band, int row, int column) { return band * 30 + light(column, row); });
    std::filesystem::copy_file(folder / "dem.tif", files / "dem.tif",
                               std::filesystem::copy_options::overwrite_existing);
  }
  static std::string name(int month) { return "ntl" + std::to_string(month) + ".tif"; }
  PredictRequest of(const std::vector<int>& months) const {
    PredictRequest request = this->request();
    request.low_resolution.clear();
    request.outputs.clear();
    for (const int month : months) {
      request.low_resolution.push_back(folder / name(month));
      request.outputs.push_back(folder / ("sr-" + name(month)));
    }
    request.guides = {{"dem", files / "dem.tif"}};
    request.tile = 8;
    return request;
  }
  /// The bytes of every output of a prediction, which are removed.
  std::vector<std::string> results(const PredictRequest& request) {
    predict(network, card, request);
    std::vector<std::string> all;
    for (const auto& output : request.outputs) {
      all.push_back(bytes_of(output));
      std::filesystem::remove(output);
    }
    return all;
  }
  /// Reads of the guide by a prediction, without help of GDAL's cache.
  std::int64_t reads(const PredictRequest& request) {
    return reads_of([&] { predict(network, card, request); });
  }
  template <class Work>
  std::int64_t reads_of(const Work& work) {
    const GIntBig before = GDALGetCacheMax64();
    GDALSetCacheMax64(1);
    files.disarm();
    work();
    const std::int64_t calls = files.calls(Fault::read);
    GDALSetCacheMax64(before);
    return calls;
  }
};

}  // namespace

TEST_CASE("stack: the guides of twelve months are read as often as those of one") {
  Months scene;
  const std::int64_t one = scene.reads(scene.of({0}));
  CHECK(one > 3 * 20);  // 20 tiles, each several strips of the file
  CHECK(scene.reads(scene.of({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})) == one);
  PredictRequest batched = scene.of({0, 1, 2});
  batched.batch = 3;
  PredictRequest single = scene.of({0});
  single.batch = 3;
  CHECK(scene.reads(batched) == scene.reads(single));
}

TEST_CASE("stack: shards of twelve months read the guides as often as those of one") {
  Months scene;
  const auto reads = [&](const PredictRequest& request) {
    const auto plans = plan_prediction(scene.network, scene.card, request);
    return scene.reads_of([&] {
      const PredictReport report = predict_shard(scene.network, scene.card, request, plans, {1, 2});
      CHECK(report.rasters.size() == request.outputs.size());
      for (const RasterReport& raster : report.rasters) CHECK(raster.tiles == 10);
    });
  };
  const std::int64_t one = reads(scene.of({0}));
  CHECK(one > 3 * 10);  // 10 tiles, each several strips of the file
  CHECK(reads(scene.of({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})) == one);
}

TEST_CASE("stack: months in shards, interrupted and merged, are what each is alone") {
  Months scene;
  const std::vector<std::string> expected = scene.results(scene.of({0, 5, 7}));
  const std::size_t files = scene.folder.files();
  PredictRequest request = scene.of({0, 5, 7});
  const auto plans = plan_prediction(scene.network, scene.card, request);
  // One month's shard alone, then all: each goes on from what it has.
  PredictRequest one = scene.of({5});
  predict_shard(scene.network, scene.card, one, {plans[1]}, {1, 2});
  std::vector<std::int64_t> seen;
  request.progress = [&](std::int64_t done, std::int64_t total) {
    CHECK(total == 30);
    seen.push_back(done);
    return done < 17;
  };
  CHECK_THROWS_AS(predict_shard(scene.network, scene.card, request, plans, {1, 2}), Cancelled);
  CHECK(seen.front() == 0);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  request.progress = nullptr;
  const PredictReport again = predict_shard(scene.network, scene.card, request, plans, {1, 2});
  CHECK(again.rasters[0].resumed > 0);
  CHECK(again.rasters[0].resumed < 10);
  CHECK(again.rasters[1].resumed == 10);
  CHECK(again.rasters[1].output == shard_folder(request, 1, {1, 2}));
  predict_shard(scene.network, scene.card, request, plans, {0, 2});
  merge_shards(scene.card, request, plans);
  for (std::size_t index = 0; index < 3; ++index) {
    CHECK(bytes_of(request.outputs[index]) == expected[index]);
  }
  CHECK(scene.folder.files() == files + 3);
  // A month that is not what was planned: none is begun.
  scene.write_low(Months::name(7), [](int, int row, int column) { return light(row, column) + 1; });
  for (const auto& output : request.outputs) std::filesystem::remove(output);
  CHECK(message_of<InvalidArgument>([&] {
          predict_shard(scene.network, scene.card, request, plans, {0, 2});
        }).find("sr-ntl7.tif' is not what was planned") != std::string::npos);
  CHECK(scene.folder.files() == files);
}

TEST_CASE("stack: each month is what it would be alone, to the byte") {
  Months scene;
  for (const bool ensemble : {false, true}) {
    PredictRequest request = scene.of({3, 5, 7});
    request.consistency = Consistency::additive;
    request.uncertainty = ensemble;
    std::vector<std::string> alone;
    for (const int month : {3, 5, 7}) {
      PredictRequest one = request;
      one.low_resolution = scene.of({month}).low_resolution;
      one.outputs = scene.of({month}).outputs;
      predict(scene.network, scene.card, one);
      alone.push_back(bytes_of(one.outputs.front()));
    }
    std::vector<std::int64_t> seen;
    request.progress = [&](std::int64_t done, std::int64_t total) {
      CHECK(total == 60);
      seen.push_back(done);
      return true;
    };
    const PredictReport report = predict(scene.network, scene.card, request);
    CHECK(seen.back() == 60);
    CHECK(std::is_sorted(seen.begin(), seen.end()));
    REQUIRE(report.rasters.size() == 3);
    for (std::size_t index = 0; index < 3; ++index) {
      CHECK(bytes_of(request.outputs[index]) == alone[index]);
      CHECK(report.rasters[index].output == request.outputs[index]);
      CHECK(report.rasters[index].tiles == 20);
    }
    CHECK(report.rasters[1].invalid_pixels == 16 * 29);
  }
}

TEST_CASE("stack: interrupted months go on, whatever each has finished") {
  Months scene;
  const std::vector<std::string> expected = scene.results(scene.of({0, 1, 2}));
  PredictRequest one = scene.of({1});
  one.overwrite = false;
  one.progress = [](std::int64_t done, std::int64_t) { return done < 13; };
  CHECK_THROWS_AS(predict(scene.network, scene.card, one), Cancelled);
  PredictRequest request = scene.of({0, 1, 2});
  request.overwrite = false;
  request.resume = true;
  request.progress = [](std::int64_t done, std::int64_t) { return done < 31; };
  CHECK_THROWS_AS(predict(scene.network, scene.card, request), Cancelled);
  request.progress = nullptr;
  const PredictReport report = predict(scene.network, scene.card, request);
  CHECK(report.rasters[1].resumed >= 13);
  CHECK(report.rasters[0].resumed > 0);
  for (std::size_t index = 0; index < 3; ++index) {
    CHECK(bytes_of(request.outputs[index]) == expected[index]);
  }
  CHECK(scene.folder.files() == 12 + 2 + 3);  // inputs, ntl.tif and dem.tif, outputs
}

TEST_CASE("an output that is one of several files of a guide or mask is refused") {
  Scene scene;
  make_raster(scene.folder / "a.tif", {.rows = 74, .columns = 58});
  make_raster(scene.folder / "b.tif", {.rows = 74, .columns = 58});
  for (const char* name : {"a.tif", "b.tif"}) {
    PredictRequest request = scene.request(name);
    request.guides = {
        {"dem", (scene.folder / "a.tif").string() + "," + (scene.folder / "b.tif").string()}};
    CHECK(contains(scene.refusal<InvalidArgument>(request), "is also guide 'dem'"));
  }
}
