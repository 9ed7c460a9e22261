// The stages of a prediction (stages.hpp, as predictions run them) with a stencil for a network:
// reader, queues, journal, writer in threads, ended by errors and cancelling too. Torch-free, so
// that ThreadSanitizer can run it (docs/reliability.md).
#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "deeplight/core/errors.hpp"
#include "deeplight/infer/stages.hpp"
#include "deeplight/infer/tile_store.hpp"
#include "deeplight/raster/raster_reader.hpp"
#include "deeplight/raster/raster_writer.hpp"
#include "deeplight/raster/tile_plan.hpp"
#include "raster/test_rasters.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

constexpr int rows = 90, columns = 70;

struct ReadTile {
  std::int64_t index = 0;
  Block block;
};

struct MadeTile {
  std::int64_t index = 0;
  std::vector<float> values;
};

/// Each pixel and its neighbours to the right and below, the edge repeated.
float stencil(const Block& block, std::int64_t row, std::int64_t column) {
  const auto at = [&](std::int64_t y, std::int64_t x) {
    const auto inside = [](std::int64_t place, std::size_t size) {
      return std::min(place, static_cast<std::int64_t>(size) - 1);
    };
    return block.values(0, inside(y, block.values.shape(1)), inside(x, block.values.shape(2)));
  };
  return at(row, column) + 2 * at(row, column + 1) + 3 * at(row + 1, column);
}

/// Which stage throws, and at which of its tiles; 3 cancels from the calling thread.
struct Failure {
  int stage = -1;
  std::int64_t tile = 0;
  void operator()(int here, std::int64_t now) const {
    if (here == stage && now == tile) throw Cancelled("stage " + std::to_string(here));
  }
};

/// Computes what the store lacks; several rasters share the low resolution.
void run(const RasterReader& reader, const TilePlan& plan, TileStore& store, std::size_t workers,
         const Failure& failure) {
  std::vector<std::int64_t> missing;
  for (std::int64_t index = 0; index < plan.size(); ++index) {
    if (store.find(index) == nullptr) missing.push_back(index);
  }
  std::int64_t read = 0, stored = 0, told = 0;
  std::atomic<std::int64_t> computed{0};
  Stages<std::int64_t, ReadTile, MadeTile> stages;
  stages.prepare = [&](std::int64_t index) {
    failure(0, read++);
    return ReadTile{index, reader.read(plan[index].read)};
  };
  stages.compute = [&](std::size_t worker, ReadTile& tile, const auto& hand_on) {
    CHECK(worker < workers);
    failure(1, computed++);
    const Tile place = plan[tile.index];
    MadeTile result{tile.index, {}};
    for (std::int64_t row = 0; row < place.owner.rows; ++row) {
      for (std::int64_t column = 0; column < place.owner.columns; ++column) {
        result.values.push_back(stencil(tile.block, row + place.owner.row - place.read.row,
                                        column + place.owner.column - place.read.column));
      }
    }
    hand_on(std::move(result), 1);
  };
  stages.store = [&](MadeTile& tile) {
    failure(2, stored++);
    store.append({.index = tile.index}, tile.values);
  };
  stages.after = [&](std::int64_t tiles) {
    CHECK(tiles == 1);
    failure(3, told++);
  };
  run_stages(missing, workers, 1, stages);
  CHECK(stored == static_cast<std::int64_t>(missing.size()));
  CHECK(told == stored);
}

void assemble(const TilePlan& plan, const TileStore& store, const Grid& grid,
              const std::filesystem::path& path) {
  RasterWriter writer(path, grid, 1, {.tile = 16});
  for (std::int64_t index = 0; index < plan.size(); ++index) {
    const Window owner = plan[index].owner;
    ValueArray values = make_array<ValueArray>(1, owner.rows, owner.columns);
    store.read(*store.find(index), 0, {values.data(), values.size()});
    writer.write(owner, values);
  }
  writer.close();
}

}  // namespace

TEST_CASE(
    "raster pipeline: ended at any stage and resumed, one and two workers at once: the same "
    "values") {
  const TemporaryFolder folder;
  make_raster(folder / "low.tif",
              {.rows = rows, .columns = columns, .value = [](int, int row, int column) {
                 return (row * 31 + column * 17) % 101;
               }});
  const RasterReader reader(folder / "low.tif");
  const Block whole = reader.read();
  const TilePlan plan(rows, columns, 16, 2);
  const auto predict = [&](int number) {
    std::mt19937 random(static_cast<unsigned>(number));
    const std::string name = "sr" + std::to_string(number) + ".tif";
    for (const int stage : {0, 1, 2, 3, -1}) {
      TileStore store(folder / ("." + name), {{"journal", 1}}, name, TileStore::Existing::resume);
      try {
        run(reader, plan, store, static_cast<std::size_t>(number),
            {stage, static_cast<std::int64_t>(random() % 4)});
      } catch (const Cancelled& error) {
        CHECK(std::string(error.what()) == "stage " + std::to_string(stage));
        store.commit();
        continue;
      }
      assemble(plan, store, reader.grid(), folder / name);
      store.remove();
    }
    const Block block = RasterReader(folder / name).read();
    std::int64_t wrong = 0;
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < columns; ++column) {
        wrong += block.values(0, row, column) != stencil(whole, row, column) ? 1 : 0;
      }
    }
    CHECK(wrong == 0);
  };
  std::thread other([&] { predict(1); });
  predict(2);
  other.join();
  CHECK(folder.files() == 3);
}

TEST_CASE("stages: no more pieces are in memory than were asked for, and all pass") {
  for (const std::size_t workers : {1, 3}) {
    for (const std::size_t lookahead : {0, 2}) {
      std::vector<int> all(50);
      std::iota(all.begin(), all.end(), 0);
      std::atomic<int> inside{0}, most{0};
      std::set<int> seen;
      std::int64_t told = 0;
      Stages<int, int, int> stages;
      stages.prepare = [&](int piece) {
        const int now = ++inside;
        for (int before = most; now > before && !most.compare_exchange_weak(before, now);) {
        }
        return piece;
      };
      stages.compute = [&](std::size_t, int& piece, const auto& hand_on) {
        CHECK(hand_on(2 * piece, 1));
        --inside;
        CHECK(hand_on(2 * piece + 1, 2));
      };
      stages.store = [&](int& piece) { seen.insert(piece); };
      stages.after = [&](std::int64_t tiles) { told += tiles; };
      run_stages(all, workers, lookahead, stages);
      CHECK(seen.size() == 100);
      CHECK(told == 150);
      CHECK(most <= static_cast<int>(workers * (lookahead + 1)));
    }
  }
}
