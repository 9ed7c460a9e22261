// The stages of a prediction in threads: one reads and prepares, one per device computes, one
// finishes and stores. With one device the calling thread computes.
#pragma once

#include <ATen/core/grad_mode.h>

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "deeplight/infer/pipeline.hpp"
#include "deeplight/infer/tile_store.hpp"
#include "deeplight/infer/tile_work_inl.hpp"
#include "deeplight/models/registry.hpp"

namespace deeplight::detail {

/// Does something when a scope ends, however it ends.
class Finally {
 public:
  explicit Finally(std::function<void()> work) : work_(std::move(work)) {}
  ~Finally() { work_(); }
  Finally(const Finally&) = delete;
  Finally& operator=(const Finally&) = delete;

 private:
  std::function<void()> work_;
};

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

/// Computes the tiles of `groups` that `store` lacks.
/// @param after_tiles  called in the calling thread with the number of tiles just computed; an
///                     exception of it ends the work
inline void run_tiles(TileWork& work, Network& network, const std::vector<c10::Device>& devices,
                      const PredictRequest& request, const std::vector<TileGroup>& groups,
                      TileStore& store, const std::function<void(std::int64_t)>& after_tiles) {
  std::vector<TileGroup> missing;
  const auto lacks = [&store](const TileGroup& group) {
    for (std::int64_t index = group.first; index < group.first + group.count; ++index) {
      if (store.find(index) == nullptr) return true;
    }
    return false;
  };
  for (const TileGroup& group : groups) {
    if (lacks(group)) missing.push_back(group);
  }
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
  work.start(network.parameters().empty() ? devices.front()
                                          : network.parameters().front().device());

  const auto lookahead = static_cast<std::size_t>(request.prefetch);
  BoundedQueue<PreparedGroup> prepared(devices.size() * (lookahead + 1));
  // Its capacity bounds the groups that are in memory, whichever stage has them.
  BoundedQueue<char> places(devices.size() * (lookahead + 1));
  BoundedQueue<std::vector<ComputedTile>> computed(2 * devices.size());
  BoundedQueue<std::int64_t> finished(missing.size());
  // `computed` is not among them: what is computed is stored, also when the work ends early.
  Crew crew({&prepared, &places, &finished});

  crew.start([&] {
    const at::NoGradGuard no_gradients;
    for (const TileGroup& group : missing) {
      if (!places.push(0) || !prepared.push(work.prepare(group))) return;
    }
    prepared.close();
  });
  crew.start([&] {
    const at::NoGradGuard no_gradients;
    try {
      while (const auto tiles = computed.pop()) {
        for (const ComputedTile& tile : *tiles) {
          if (store.find(tile.index) != nullptr) continue;
          const FinishedTile done = work.finish(tile);
          store.append(done.record, done.values);
        }
      }
    } catch (...) {
      computed.cancel();
      throw;
    }
  });
  std::atomic<std::size_t> working{devices.size()};
  const auto compute = [&](std::size_t device, const std::function<void(std::int64_t)>& report) {
    const Finally ended([&] {
      if (--working > 0) return;
      computed.close();
      finished.close();
    });
    while (auto group = prepared.pop()) {
      std::vector<ComputedTile> tiles = work.compute(network_on(device), *group, devices[device]);
      group.reset();
      places.pop();
      const auto count = static_cast<std::int64_t>(tiles.size());
      if (!computed.push(std::move(tiles))) return;
      report(count);
    }
  };
  if (devices.size() == 1) {
    crew.work([&] { compute(0, after_tiles); });
  } else {
    for (std::size_t device = 0; device < devices.size(); ++device) {
      crew.start([&, device] {
        const at::NoGradGuard no_gradients;
        compute(device, [&](std::int64_t tiles) { finished.push(tiles); });
      });
    }
    crew.work([&] {
      while (const auto tiles = finished.pop()) after_tiles(*tiles);
    });
  }
  crew.finish();
}

}  // namespace deeplight::detail
