// What runs leave that were killed while they encoded, named or removed: the next one cleans up.
#include <fstream>

#include "deeplight/infer/tile_store.hpp"
#include "infer/tile_sensitive_scene.hpp"

using namespace deeplight;
using namespace deeplight::test;
namespace fs = std::filesystem;

namespace {

void touch(const fs::path& path) {
  std::ofstream(path) << "zeros";
}

void copy_folder(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    if (entry.is_directory()) {
      copy_folder(entry.path(), to / entry.path().filename());
    } else {
      fs::copy_file(entry.path(), to / entry.path().filename());
    }
  }
}

/// A prediction whose scratch folder stands once more in `kept`, as it was one tile before the end.
struct Finished {
  fs::path scratch;
  fs::path kept;
  RasterReport report;
};

/// Stops a prediction of 20 tiles after 19, keeps its scratch, and resumes it to the end.
Finished interrupted_then_whole(Scene& scene, PredictRequest& request) {
  const fs::path scratch = scratch_folder(request.outputs.front());
  cancel_after(scene, request, 19);
  const fs::path kept = scene.folder / "kept";
  copy_folder(scratch, kept);
  request.resume = true;
  return {scratch, kept, predict(scene.network, scene.card, request).rasters.front()};
}

}  // namespace

TEST_CASE("killed while encoding: temporary files of that output go, others stay") {
  Scene scene;
  PredictRequest request = tiled(scene);
  cancel_after(scene, request, 5);
  const fs::path& folder = scene.folder.path();
  const std::size_t files = scene.folder.files();
  touch(folder / ".sr.tif.4711-0.part.tif");
  touch(folder / ".sr.tif.4711-0.part.tif.aux.xml");
  touch(folder / ".sr.tif.4711-1.part.tif.ovr.tmp");
  touch(folder / "..sr.tif.4711-0.part.tif.4711-2.part.tif");
  fs::create_directories(folder / ".sr.tif.4711-3.part.tif/band/0");
  touch(folder / ".sr.tif.4711-3.part.tif/band/0/0");
  const std::vector<std::string> others = {".asr.tif.4711-0.part.tif", ".sr.tif.4711-0.tif",
                                           ".sr.tif.old-0.part.tif", "sr.tif.4711-0.part.tif",
                                           ".sr.tif2.4711-0.part.tif"};
  for (const std::string& name : others) touch(folder / name);
  request.resume = true;
  CHECK(predict(scene.network, scene.card, request).rasters.front().resumed > 0);
  CHECK(scene.folder.files() == files - 1 + 1 + others.size());  // the scratch went, sr.tif came
  for (const std::string& name : others) CHECK(fs::exists(folder / name));
}

TEST_CASE("killed after the output had its name: resuming finds it whole and cleans up") {
  Scene scene;
  PredictRequest request = tiled(scene);
  const fs::path output = request.outputs.front();
  const auto [scratch, kept, first] = interrupted_then_whole(scene, request);
  const std::string bytes = bytes_of(output);
  const auto time = fs::last_write_time(output);
  for (const bool described : {true, false}) {
    copy_folder(kept, scratch);
    if (!described) fs::remove(scratch / "job.json");
    const RasterReport again = predict(scene.network, scene.card, request).rasters.front();
    CHECK(again.resumed == 20);
    CHECK(again.light_ratio == first.light_ratio);
    CHECK(again.mean_in == first.mean_in);
    CHECK(again.mean_out == first.mean_out);
    CHECK(again.valid_pixels == first.valid_pixels);
    CHECK(again.invalid_pixels == first.invalid_pixels);
    CHECK_FALSE(fs::exists(scratch));
    CHECK(fs::last_write_time(output) == time);
  }
  CHECK(bytes_of(output) == bytes);
  // Of another job, or without being asked to resume, an output that exists is refused.
  const auto refusal = [&](const PredictRequest& other) {
    return message_of<FileError>([&] { predict(scene.network, scene.card, other); });
  };
  PredictRequest other = request;
  other.tile = 12;
  CHECK(refusal(other).find("exists already") != std::string::npos);
  other = request;
  other.resume = false;
  CHECK(refusal(other).find("exists already") != std::string::npos);
  scene.card.preprocessing.low_resolution.mean += 1;
  CHECK(refusal(request).find("exists already") != std::string::npos);
  touch(output);
  CHECK(refusal(request).find("exists already") != std::string::npos);
}

TEST_CASE(
    "killed after a folder had its name: two bands of a Zarr, and a mosaic, are found whole") {
  for (const char* name : {"sr.zarr", "one.zarr", "sr.vrt"}) {
    CAPTURE(name);
    Scene scene;
    PredictRequest request = tiled(scene, name);
    request.uncertainty = std::string(name) == "sr.zarr";
    const fs::path output = request.outputs.front();
    const auto [scratch, kept, first] = interrupted_then_whole(scene, request);
    const auto time = fs::last_write_time(output);
    const std::size_t files = scene.folder.files();
    for (const bool tiles : {true, false}) {
      if (tiles) copy_folder(kept, scratch);
      const RasterReport again = predict(scene.network, scene.card, request).rasters.front();
      CHECK(again.resumed == 20);
      CHECK(again.light_ratio == first.light_ratio);
      CHECK(again.mean_out == first.mean_out);
      CHECK(scene.folder.files() == files);
      CHECK(fs::last_write_time(output) == time);
    }
    // Of another job it is refused.
    request.tile = 12;
    CHECK(message_of<FileError>([&] {
            predict(scene.network, scene.card, request);
          }).find("exists already") != std::string::npos);
  }
}

TEST_CASE("a mosaic killed before it had its name: resumed, the same parts") {
  Scene scene;
  PredictRequest request = tiled(scene, "sr.vrt");
  const fs::path parts = scene.folder / "sr.vrt.parts";
  cancel_after(scene, request, 19);
  copy_folder(scratch_folder(request.outputs.front()), scene.folder / "kept");
  request.resume = true;
  predict(scene.network, scene.card, request);
  const std::string vrt = bytes_of(scene.folder / "sr.vrt"), part = bytes_of(parts / "0-0.tif");
  fs::rename(scene.folder / "sr.vrt", parts / "mosaic.vrt");
  copy_folder(scene.folder / "kept", scratch_folder(request.outputs.front()));
  predict(scene.network, scene.card, request);
  CHECK(bytes_of(scene.folder / "sr.vrt") == vrt);
  CHECK(bytes_of(parts / "0-0.tif") == part);
  CHECK_FALSE(fs::exists(parts / "mosaic.vrt"));
  CHECK(largest_difference(RasterReader(scene.folder / "sr.vrt").read(),
                           scene.run(scene.request("plain.tif"))) < 1e-3);
}

TEST_CASE("several rasters: those that were finished before the kill are not computed again") {
  Scene scene;
  PredictRequest request = tiled(scene, "a.tif");
  scene.write_low("feb.tif", [](int, int row, int column) { return light(column, row); });
  request.low_resolution.push_back(scene.folder / "feb.tif");
  request.outputs.push_back(scene.folder / "b.tif");
  // They go through together, and are encoded one after the other.
  request.progress = [&](std::int64_t, std::int64_t) { return !fs::exists(request.outputs[0]); };
  CHECK_THROWS_AS(predict(scene.network, scene.card, request), Cancelled);
  REQUIRE(fs::exists(request.outputs[0]));
  REQUIRE_FALSE(fs::exists(request.outputs[1]));
  request.resume = true;
  std::vector<std::int64_t> seen;
  request.progress = [&](std::int64_t done, std::int64_t total) {
    CHECK(total == 40);
    seen.push_back(done);
    return true;
  };
  const PredictReport report = predict(scene.network, scene.card, request);
  REQUIRE(report.rasters.size() == 2);
  CHECK(report.rasters[0].resumed == 20);
  CHECK(report.rasters[1].resumed == 20);
  CHECK(seen[1] == 20);
  CHECK(seen.back() == 40);
  PredictRequest alone = request;
  alone.progress = nullptr;
  alone.outputs = {scene.folder / "c.tif", scene.folder / "d.tif"};
  predict(scene.network, scene.card, alone);
  CHECK(bytes_of(alone.outputs[0]) == bytes_of(request.outputs[0]));
  CHECK(bytes_of(alone.outputs[1]) == bytes_of(request.outputs[1]));
}

TEST_CASE("merging killed while it encodes or removes: the next one finishes") {
  Scene scene;
  const PredictRequest request = tiled(scene);
  const fs::path output = request.outputs.front();
  const std::size_t files = scene.folder.files();
  const auto plans = plan_prediction(scene.network, scene.card, request);
  for (const std::int64_t shard : {0, 1}) {
    predict_shard(scene.network, scene.card, request, plans, {shard, 2});
  }
  const fs::path shards = shard_folder(request, 0, {0, 2}).parent_path();
  const fs::path kept = scene.folder / "kept";
  copy_folder(shards, kept);
  touch(scene.folder / ".sr.tif.4711-0.part.tif");
  fs::create_directories(shards / "1-of-3");  // killed as it began
  touch(shards / "1-of-3/lock");
  const RasterReport first = merge_shards(scene.card, request, plans).rasters.front();
  const std::string bytes = bytes_of(output);
  CHECK(scene.folder.files() == files + 2);  // sr.tif and what the test keeps
  for (const int removed : {0, 1, 2}) {
    copy_folder(kept, shards);
    if (removed >= 1) fs::remove_all(shards / "0-of-2");
    if (removed == 2) fs::remove(shards / "1-of-2/job.json");
    const RasterReport again = merge_shards(scene.card, request, plans).rasters.front();
    CHECK(again.light_ratio == first.light_ratio);
    CHECK_FALSE(fs::exists(shards));
  }
  CHECK(merge_shards(scene.card, request, plans).rasters.front().resumed == 20);
  CHECK(bytes_of(output) == bytes);
}
