// What prediction refuses, cancels and warns about; nothing may be left behind.
#include "infer/tile_sensitive_scene.hpp"

using namespace deeplight;
using namespace deeplight::test;

TEST_CASE("predict: cancelling leaves no raster; progress counts every tile") {
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
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());  // encoding reports the last again
  CHECK(seen == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6});
  std::filesystem::remove(scene.folder / "sr.tif");
  const std::size_t before = scene.folder.files();
  for (const std::int64_t stop : {0, 1, 5, 6}) {
    request.progress = [&](std::int64_t done, std::int64_t) { return done < stop; };
    const std::string text =
        message_of<Cancelled>([&] { predict(scene.network, scene.card, request); });
    CHECK(contains(text, concat("cancelled after ", stop, " of 6 tiles")));
    CHECK_FALSE(std::filesystem::exists(scene.folder / "sr.tif"));
    CHECK(scene.folder.files() == before + (stop == 0 ? 0 : 1));  // the finished tiles
  }
  request.progress = [&](std::int64_t done, std::int64_t) -> bool {
    if (done == 2) throw std::runtime_error("from the callback");
    return true;
  };
  CHECK(message_of<std::runtime_error>([&] { predict(scene.network, scene.card, request); }) ==
        "from the callback");
  CHECK_FALSE(std::filesystem::exists(scene.folder / "sr.tif"));
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
  request = scene.request("no.tif");
  request.format = "cog";
  request.compression = Compression::none;
  CHECK(contains(scene.refusal<InvalidArgument>(request), "must be compressed"));
  request = scene.request("no.tif");
  request.format = "zarr";
  CHECK(contains(scene.refusal<InvalidArgument>(request), "must be called .zarr"));
  request = scene.request("no.zarr");
  request.compression = Compression::lzw;
  CHECK(contains(scene.refusal<InvalidArgument>(request), "with compression 'lzw'"));
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
  scene.card.preprocessing.guides[0].contrast = GuideContrast::difference;
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
