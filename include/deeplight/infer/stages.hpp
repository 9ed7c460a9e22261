// The stages of a prediction in threads: one prepares, workers compute, one stores. No torch, no
// GDAL: what the stages do is given, so that ThreadSanitizer can run them (docs/reliability.md).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "deeplight/infer/pipeline.hpp"

namespace deeplight {

namespace detail {

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

}  // namespace detail

/// What happens to a piece of work on its way.
template <class Work, class Prepared, class Computed>
struct Stages {
  /// Hands on what is computed, and the number of tiles in it; false: stop, the work has ended.
  using HandOn = std::function<bool(Computed computed, std::int64_t tiles)>;

  /// In a thread of its own, in order.
  std::function<Prepared(const Work& work)> prepare;
  /// In a thread of each worker, or in the calling one where there is but one worker.
  std::function<void(std::size_t worker, Prepared& prepared, const HandOn& hand_on)> compute;
  /// In a thread of its own, whatever was handed on, also when the work ends early.
  std::function<void(Computed& computed)> store;
  /// In the calling thread, with the number of tiles just computed.
  std::function<void(std::int64_t tiles)> after;
};

/// Sends all pieces of work through the stages. The first exception of any of them ends all and
/// is thrown again.
/// @param workers    at least 1
/// @param lookahead  pieces prepared ahead for each worker; `workers * (lookahead + 1)` are in
///                   memory at most, until they are computed
template <class Work, class Prepared, class Computed>
void run_stages(const std::vector<Work>& all, std::size_t workers, std::size_t lookahead,
                const Stages<Work, Prepared, Computed>& stages) {
  BoundedQueue<Prepared> prepared(workers * (lookahead + 1));
  // Its capacity bounds the pieces that are in memory, whichever stage has them.
  BoundedQueue<char> places(workers * (lookahead + 1));
  BoundedQueue<Computed> computed(2 * workers);
  BoundedQueue<std::int64_t> finished(std::numeric_limits<std::size_t>::max());
  // `computed` is not among them: what is computed is stored, also when the work ends early.
  Crew crew({&prepared, &places, &finished});

  crew.start([&] {
    for (const Work& work : all) {
      if (!places.push(0) || !prepared.push(stages.prepare(work))) return;
    }
    prepared.close();
  });
  crew.start([&] {
    try {
      while (auto result = computed.pop()) stages.store(*result);
    } catch (...) {
      computed.cancel();
      throw;
    }
  });
  std::atomic<std::size_t> working{workers};
  const auto compute = [&](std::size_t worker, const std::function<void(std::int64_t)>& report) {
    const detail::Finally ended([&] {
      if (--working > 0) return;
      computed.close();
      finished.close();
    });
    while (auto piece = prepared.pop()) {
      bool stored = true;
      stages.compute(worker, *piece, [&](Computed result, std::int64_t tiles) {
        stored = stored && computed.push(std::move(result));
        if (stored) report(tiles);
        return stored;
      });
      if (!stored) return;
      piece.reset();
      places.pop();
    }
  };
  if (workers == 1) {
    crew.work([&] { compute(0, stages.after); });
  } else {
    try {
      for (std::size_t worker = 0; worker < workers; ++worker) {
        crew.start(
            [&, worker] { compute(worker, [&](std::int64_t tiles) { finished.push(tiles); }); });
      }
    } catch (...) {  // no more threads: nobody else would end the one that stores
      computed.cancel();
      throw;
    }
    crew.work([&] {
      while (const auto tiles = finished.pop()) stages.after(*tiles);
    });
  }
  crew.finish();
}

}  // namespace deeplight
