// What the stages of a prediction do: one reads and prepares, one per device computes, one finishes
// and stores. With one device the calling thread computes.
#pragma once

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "deeplight/infer/predict_scopes_inl.hpp"
#include "deeplight/infer/stages.hpp"
#include "deeplight/infer/tile_store.hpp"
#include "deeplight/infer/tile_work_inl.hpp"
#include "deeplight/models/registry.hpp"

namespace deeplight::detail {

/// The same network with the same weights elsewhere.
inline std::shared_ptr<Network> replica(const Network& network, c10::Device device) {
  const at::NoGradGuard no_gradients;
  std::shared_ptr<Network> copy = create_model(network.architecture(), network.options());
  copy->to(device);
  copy->eval();
  const auto parameters = network.named_parameters();
  for (auto& item : copy->named_parameters()) item.value().copy_(parameters[item.key()]);
  const auto buffers = network.named_buffers();
  for (auto& item : copy->named_buffers()) item.value().copy_(buffers[item.key()]);
  return copy;
}

inline bool is_home(const Network& network, c10::Device device) {
  const auto parameters = network.parameters();
  return parameters.empty() || parameters.front().device() == device;
}

/// A raster on its way, and where its tiles go.
struct Lane {
  TileWork* work = nullptr;
  TileStore* store = nullptr;
};

/// A group that some lanes lack.
struct MissingGroup {
  TileGroup group;
  std::vector<bool> lacking;  // of each lane
};

struct PreparedGroup {
  std::int64_t first = 0;
  std::vector<GuideTensors> guides;              // of each tile, for all lanes
  std::vector<std::vector<PreparedTile>> tiles;  // of each lane; none where it has the group
};

struct ComputedGroup {
  std::size_t lane = 0;
  std::vector<ComputedTile> tiles;
};

inline std::vector<MissingGroup> missing_groups(const std::vector<Lane>& lanes,
                                                const std::vector<TileGroup>& groups) {
  std::vector<MissingGroup> all;
  for (const TileGroup& group : groups) {
    MissingGroup missing{group, {}};
    for (const Lane& lane : lanes) {
      bool lacks = false;
      for (std::int64_t index = group.first; index < group.first + group.count; ++index) {
        lacks = lacks || lane.store->find(index) == nullptr;
      }
      missing.lacking.push_back(lacks);
    }
    const auto& lacking = missing.lacking;
    if (std::find(lacking.begin(), lacking.end(), true) != lacking.end()) all.push_back(missing);
  }
  return all;
}

/// Reads a group's guides once, whatever the number of lanes.
inline PreparedGroup prepare(const std::vector<Lane>& lanes, const MissingGroup& missing,
                             GuideWindows& guides) {
  PreparedGroup prepared{missing.group.first, {}, {}};
  prepared.tiles.resize(lanes.size());
  const TileInput& first = lanes.front().work->input();
  for (std::int64_t number = 0; number < missing.group.count; ++number) {
    const Tile tile = first.plan()[missing.group.first + number];
    bool lit = false;
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      if (!missing.lacking[lane]) continue;
      prepared.tiles[lane].push_back(lanes[lane].work->input().prepare(tile));
      lit = lit || prepared.tiles[lane].back().around.rows > 0;
    }
    prepared.guides.push_back(lit ? guides(first.around_of(tile)) : GuideTensors{});
  }
  return prepared;
}

/// Computes the tiles of `groups` that the lanes' stores lack; the lanes' plans are one.
/// @param after_tiles  called in the calling thread with the number of tiles just computed; an
///                     exception of it ends the work
inline void run_tiles(const std::vector<Lane>& lanes, Network& network,
                      const std::vector<c10::Device>& devices, const PredictRequest& request,
                      const std::vector<TileGroup>& groups,
                      const std::function<void(std::int64_t)>& after_tiles) {
  const std::vector<MissingGroup> missing = missing_groups(lanes, groups);
  if (missing.empty()) return;
  std::vector<std::shared_ptr<Network>> copies(devices.size());
  for (std::size_t index = 0; index < devices.size(); ++index) {
    if (index > 0 || !is_home(network, devices[index])) {
      copies[index] = replica(network, devices[index]);
    }
  }
  const auto network_on = [&](std::size_t index) -> Network& {
    return copies[index] ? *copies[index] : network;
  };
  const c10::Device home =
      network.parameters().empty() ? devices.front() : network.parameters().front().device();
  for (const Lane& lane : lanes) lane.work->start(home);

  GuideWindows guides = lanes.front().work->input().guide_windows(devices.front().type());
  Stages<MissingGroup, PreparedGroup, ComputedGroup> stages;
  const bool busy = devices.front().is_cpu();  // are the cores, with the network itself
  stages.prepare = [&](const MissingGroup& group) {
    const at::NoGradGuard no_gradients;
    if (busy) work_alone();
    return prepare(lanes, group, guides);
  };
  stages.compute = [&](std::size_t device, PreparedGroup& group, const auto& hand_on) {
    const at::NoGradGuard no_gradients;
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      if (group.tiles[lane].empty()) continue;
      std::vector<ComputedTile> tiles = lanes[lane].work->compute(
          network_on(device), group.first, group.tiles[lane], group.guides, devices[device]);
      group.tiles[lane].clear();
      const auto count = static_cast<std::int64_t>(tiles.size());
      if (!hand_on({lane, std::move(tiles)}, count)) return;
    }
  };
  stages.store = [&](ComputedGroup& group) {
    const at::NoGradGuard no_gradients;
    if (busy) work_alone();
    const Lane& lane = lanes[group.lane];
    for (ComputedTile& tile : group.tiles) {
      if (lane.store->find(tile.index) != nullptr) continue;
      const FinishedTile done = lane.work->finish(tile);
      lane.store->append(done.record, done.values);
    }
  };
  stages.after = after_tiles;
  run_stages(missing, devices.size(), static_cast<std::size_t>(request.prefetch), stages);
}

}  // namespace deeplight::detail
