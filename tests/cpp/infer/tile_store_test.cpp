// The journal: what it states is there, whatever was cut, flipped or interrupted. Torch-free.
#include "deeplight/infer/tile_store.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <span>
#include <thread>

#include "deeplight/core/errors.hpp"
#include "deeplight/infer/owner_lock.hpp"
#include "deeplight/infer/raw_file.hpp"
#include "temporary_folder.hpp"

using namespace deeplight;
using testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const Json job = {{"journal", 1}, {"options", {{"tile", 64}}}, {"guides", {{"dem", "abc"}}}};

std::vector<float> values_of(std::int64_t index) {
  std::vector<float> values;
  for (int i = 0; i < 30; ++i) values.push_back(static_cast<float>(100 * index + i));
  return values;
}

void add(TileStore& store, std::int64_t index) {
  store.append({.index = index, .light = 0.5 * static_cast<double>(index), .pixels = 30},
               values_of(index));
}

bool holds(const TileStore& store, std::int64_t index) {
  const TileRecord* record = store.find(index);
  if (record == nullptr) return false;
  std::vector<float> read(30);
  store.read(*record, 0, read);
  std::vector<float> two(2);
  store.read(*record, 7, two);
  return read == values_of(index) && two[0] == read[7] && two[1] == read[8] &&
         record->light == 0.5 * static_cast<double>(index) && store.intact(*record);
}

fs::path filled(const TemporaryFolder& folder, int tiles) {
  const fs::path path = folder.path() / ".sr.tif.deeplight";
  TileStore store(path, job, "output 'sr.tif'", TileStore::Existing::discard);
  for (int index = 0; index < tiles; ++index) add(store, index);
  store.commit();
  return path;
}

template <class Exception, class Work>
std::string message_of(const Work& work) {
  try {
    work();
  } catch (const Exception& error) {
    return error.what();
  }
  return "no exception";
}

TileStore resumed(const fs::path& path, const Json& description = job) {
  return TileStore(path, description, "output 'sr.tif'", TileStore::Existing::resume);
}

}  // namespace

TEST_CASE("tile store: what was committed is there again, and only that") {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "store";
  {
    TileStore store(path, job, "x", TileStore::Existing::refuse);
    add(store, 3);
    add(store, 1);
    store.append({.index = 2, .not_finite = 4}, {});
    store.commit();
    add(store, 7);  // never committed, as after a kill
  }
  TileStore store = resumed(path);
  CHECK(store.size() == 3);
  CHECK(holds(store, 3));
  CHECK(holds(store, 1));
  CHECK(store.find(2)->not_finite == 4);
  CHECK(store.find(2)->bytes == 0);
  CHECK(store.find(7) == nullptr);
  CHECK(store.records().front().index == 1);
  add(store, 7);
  store.commit();
  CHECK(holds(store, 7));
  CHECK(holds(store, 3));
  store.remove();
  CHECK_FALSE(fs::exists(path));
}

TEST_CASE("tile store: a journal cut at any byte gives the whole records before the cut") {
  TemporaryFolder folder;
  for (int cut = 0; cut <= 4 * 64; cut += cut % 64 < 2 || cut % 64 > 61 ? 1 : 30) {
    const fs::path path = filled(folder, 4);
    fs::resize_file(path / "journal", static_cast<std::uintmax_t>(cut));
    TileStore store = resumed(path);
    REQUIRE(store.size() == cut / 64);
    for (int index = 0; index < cut / 64; ++index) REQUIRE(holds(store, index));
    add(store, 3);
    store.commit();
    REQUIRE(holds(store, 3));
  }
}

TEST_CASE("tile store: values cut at any byte drop the tiles that are not whole") {
  TemporaryFolder folder;
  for (int cut = 0; cut <= 480; cut += 13) {
    const fs::path path = filled(folder, 4);
    fs::resize_file(path / "tiles", static_cast<std::uintmax_t>(cut));
    TileStore store = resumed(path);
    REQUIRE(store.size() == cut / 120);
    for (int index = 0; index < cut / 120; ++index) REQUIRE(holds(store, index));
  }
}

TEST_CASE("tile store: any flipped bit costs its tile, never a wrong value") {
  TemporaryFolder folder;
  for (const char* name : {"tiles", "journal"}) {
    const std::uintmax_t bytes = std::string(name) == "tiles" ? 480 : 256;
    for (std::uintmax_t at = 0; at < bytes; at += 7) {
      const fs::path path = filled(folder, 4);
      {
        std::fstream file(path / name, std::ios::binary | std::ios::in | std::ios::out);
        file.seekg(static_cast<std::streamoff>(at));
        const auto old = static_cast<char>(file.get());
        file.seekp(static_cast<std::streamoff>(at));
        file.put(static_cast<char>(old ^ 16));
      }
      TileStore store = resumed(path);
      REQUIRE(store.size() < 4);
      for (const TileRecord& record : store.records()) REQUIRE(holds(store, record.index));
      // And what was dropped can be had again, for good.
      for (int index = 0; index < 4; ++index) {
        if (store.find(index) == nullptr) add(store, index);
      }
      store.commit();
      for (int index = 0; index < 4; ++index) REQUIRE(holds(store, index));
    }
  }
}

TEST_CASE("tile store: another job is refused and what differs is named") {
  TemporaryFolder folder;
  const fs::path path = filled(folder, 2);
  Json other = job;
  other["options"]["tile"] = 32;
  other["guides"]["dem"] = "def";
  other["version"] = "9";
  const std::string text = message_of<InvalidArgument>([&] { resumed(path, other); });
  CHECK(text.find("options tile was 64, is 32") != std::string::npos);
  CHECK(text.find("guides dem was abc, is def") != std::string::npos);
  CHECK(text.find("version was absent, is 9") != std::string::npos);
  CHECK(job_digest(other) != job_digest(job));
  CHECK(job_digest(Json{{"b", 1}, {"a", 2}}) == job_digest(Json{{"a", 2}, {"b", 1}}));
  CHECK(resumed(path).size() == 2);  // refusing changed nothing

  const auto refuse = [&] { TileStore(path, job, "output 'sr.tif'", TileStore::Existing::refuse); };
  CHECK(message_of<InvalidArgument>(refuse).find("left 2 finished tiles of output 'sr.tif'") !=
        std::string::npos);
  CHECK(TileStore(path, other, "x", TileStore::Existing::discard).size() == 0);
  CHECK(resumed(path, other).size() == 0);
}

TEST_CASE("tile store: a killed start, a damaged description, a missing folder") {
  TemporaryFolder folder;
  const fs::path path = filled(folder, 2);
  fs::remove(path / "job.json");
  CHECK(resumed(path).size() == 0);
  const fs::path damaged = filled(folder, 2);
  std::ofstream(damaged / "job.json") << "{\"journal\"";
  CHECK(message_of<InvalidArgument>([&] { resumed(damaged); }).find("another job") !=
        std::string::npos);
  CHECK_THROWS_AS(TileStore::open(damaged), FormatError);
  CHECK_THROWS_AS(TileStore::open(folder.path() / "gone"), FileError);
  CHECK_THROWS_AS(resumed(folder.path() / "gone" / "store"), FileError);
}

TEST_CASE("owner lock: the second writer is told who the first is; the lock ends with its owner") {
  TemporaryFolder folder;
  const fs::path path = filled(folder, 1);
  {
    const TileStore first = resumed(path);
    const std::string text = message_of<FileError>([&] { resumed(path); });
    CHECK(text.find("output 'sr.tif' is being written by process ") == 0);
    CHECK(text.find(" since ") != std::string::npos);
    CHECK_THROWS_AS(TileStore::open(path), FileError);
    std::thread([&] { CHECK_THROWS_AS(resumed(path), FileError); }).join();
  }
  CHECK(resumed(path).size() == 1);
}

TEST_CASE("owner lock: racing threads, one at a time, through removed folders") {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "store";
  std::atomic<int> inside{0}, won{0}, overlaps{0};
  std::vector<std::thread> racers;
  for (int racer = 0; racer < 4; ++racer) {
    racers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        try {
          TileStore store(path, job, "x", TileStore::Existing::discard);
          overlaps += ++inside > 1 ? 1 : 0;
          add(store, round);
          ++won;
          --inside;
          store.remove();
        } catch (const FileError&) {
        }
      }
    });
  }
  for (std::thread& racer : racers) racer.join();
  CHECK(overlaps == 0);
  CHECK(won > 0);
}

#ifdef __linux__
TEST_CASE("tile store: a full disk is said as such, and what was recorded stays") {
  TemporaryFolder folder;
  const fs::path path = filled(folder, 2);
  {
    TileStore store = resumed(path);
    fs::remove(path / "tiles");
    fs::create_symlink("/dev/full", path / "tiles");
  }
  RawFile full(path / "tiles", RawFile::Mode::write);
  const std::vector<float> values = values_of(1);
  const std::string text =
      message_of<FileError>([&] { full.write(0, std::as_bytes(std::span(values))); });
  CHECK(text.find("No space left on device") != std::string::npos);
  CHECK(text.find("tiles") != std::string::npos);
}
#endif
