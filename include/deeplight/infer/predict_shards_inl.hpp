// Definitions of predict.hpp that share the work among machines: plan, one shard, merge.
#pragma once

#include <algorithm>
#include <system_error>

#include "deeplight/infer/predict_inl.hpp"

namespace deeplight {

namespace detail {

inline std::filesystem::path shards_of(const PredictRequest& request, std::size_t output) {
  std::filesystem::path folder = folder_for(request, output);
  folder += "-shards";
  return folder;
}

inline void check_same_job(const Json& planned, const Json& now, const std::string& what) {
  const std::vector<std::string> different = job_differences(planned, now);
  require(different.empty(), what, " is not what was planned: ", joined(different));
}

inline void check_plans(const std::vector<PredictionPlan>& plans, const PredictRequest& request) {
  require(plans.size() == request.outputs.size(), plans.size(), " plans for ",
          request.outputs.size(), " outputs");
}

inline std::vector<TileGroup> part_of(const std::vector<TileGroup>& groups, Shard shard) {
  const auto count = static_cast<std::int64_t>(groups.size());
  return {groups.begin() + count * shard.index / shard.count,
          groups.begin() + count * (shard.index + 1) / shard.count};
}

inline StoreKeeper open_shard(const PredictRequest& request, std::size_t index, Shard shard,
                              const Json& description) {
  const std::filesystem::path folder = shard_folder(request, index, shard);
  std::error_code error;
  std::filesystem::create_directories(folder.parent_path(), error);
  require<FileError>(!error, "the folder '", folder.parent_path().string(),
                     "' cannot be created: ", error.message());
  const std::string output = request.outputs[index].string();
  return StoreKeeper(TileStore(
      folder, description, concat("shard ", shard.index, " of ", shard.count, " of '", output, "'"),
      TileStore::Existing::resume));
}

/// Also what a killed merge left of them.
inline void remove_shards(const std::filesystem::path& folder, std::vector<TileStore>& stores) {
  for (TileStore& store : stores) store.remove();
  remove_tree(folder);
}

}  // namespace detail

DEEPLIGHT_INLINE std::vector<PredictionPlan> plan_prediction(Network& network, const Card& card,
                                                             const PredictRequest& request) {
  detail::check_card(network, card, Preprocessor(card.preprocessing, card.scale));
  const detail::GdalCacheScope cache;
  detail::CheckedRequest checked = detail::checked(card, request, /*with_guides=*/true);
  const at::NoGradGuard no_gradients;
  detail::Run run{network, card, request, checked};
  std::vector<PredictionPlan> plans;
  for (const detail::PredictJob& job : checked.jobs) {
    const detail::TileInput input(network, checked.preprocessor, request, job);
    plans.push_back({detail::describe_job(run.description(), input.geometry(), job),
                     input.plan().size(), static_cast<std::int64_t>(input.groups().size())});
  }
  return plans;
}

DEEPLIGHT_INLINE std::filesystem::path shard_folder(const PredictRequest& request,
                                                    std::size_t output, Shard shard) {
  return detail::shards_of(request, output) / concat(shard.index, "-of-", shard.count);
}

DEEPLIGHT_INLINE PredictReport predict_shard(Network& network, const Card& card,
                                             const PredictRequest& request,
                                             const std::vector<PredictionPlan>& plans,
                                             Shard shard) {
  const auto start = std::chrono::steady_clock::now();
  require(shard.count >= 1 && shard.index >= 0 && shard.index < shard.count, "shard ", shard.index,
          " of ", shard.count, ": it must lie between 0 and ", shard.count - 1);
  detail::check_plans(plans, request);
  detail::check_card(network, card, Preprocessor(card.preprocessing, card.scale));
  const detail::GdalCacheScope cache;
  const detail::AllocationScope allocations;
  detail::CheckedRequest checked = detail::checked(card, request, /*with_guides=*/true);
  const at::NoGradGuard no_gradients;
  const detail::ThreadScope threads(request.threads);
  const detail::EvaluationMode evaluation(network);
  detail::Run run{network, card, request, checked};

  PredictReport report;
  std::vector<std::size_t> all;
  std::int64_t total = 0;
  for (std::size_t index = 0; index < checked.jobs.size(); ++index) {
    const detail::PredictJob& job = checked.jobs[index];
    const detail::TileInput input(network, checked.preprocessor, request, job);
    detail::check_same_job(plans[index].job,
                           detail::describe_job(run.description(), input.geometry(), job),
                           concat("the work for '", job.output.string(), "'"));
    RasterReport raster;
    raster.low_resolution = job.low_resolution.info().path;
    raster.output = shard_folder(request, index, shard);
    for (const detail::TileGroup& group : detail::part_of(input.groups(), shard)) {
      raster.tiles += group.count;
    }
    total += raster.tiles;
    report.rasters.push_back(raster);
    all.push_back(index);
  }
  detail::Progress progress(request, total);
  progress.advance(0);
  for (const std::vector<std::size_t>& stack :
       detail::stacks_of(checked.jobs, all, request.align)) {
    const auto began = std::chrono::steady_clock::now();
    const auto members =
        detail::with_memory_errors(request.outputs[stack.front()], request.tile, [&] {
          return detail::compute_stack(
              run, stack, progress,
              [&](const std::vector<detail::TileGroup>& groups) {
                return detail::part_of(groups, shard);
              },
              [&](std::size_t index, const Json& description) {
                return detail::open_shard(request, index, shard, description);
              });
        });
    for (const auto& member : members) {
      member->store->commit();
      member->store.done();
      RasterReport& raster = report.rasters[member->index];
      raster.resumed = member->resumed;
      raster.seconds = detail::seconds_since(began) / static_cast<double>(stack.size());
    }
  }
  report.warnings = std::move(checked.warnings);
  report.seconds = detail::seconds_since(start);
  return report;
}

DEEPLIGHT_INLINE PredictReport merge_shards(const Card& card, const PredictRequest& request,
                                            const std::vector<PredictionPlan>& plans) {
  const auto start = std::chrono::steady_clock::now();
  detail::check_plans(plans, request);
  const detail::GdalCacheScope cache;
  detail::CheckedRequest checked =
      detail::checked(card, request, /*with_guides=*/false, /*may_be_there=*/true);
  PredictReport report;
  for (std::size_t index = 0; index < checked.jobs.size(); ++index) {
    const auto began = std::chrono::steady_clock::now();
    const detail::PredictJob& job = checked.jobs[index];
    const Json& planned = plans[index].job;
    detail::check_same_job(planned.at("low_resolution"), detail::describe_low_resolution(job),
                           concat("low resolution '", job.low_resolution.info().path, "'"));
    const std::filesystem::path folder = detail::shards_of(request, index);
    std::vector<std::filesystem::path> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      // Without a description it was killed as it began, or as its tiles were removed.
      if (std::filesystem::exists(entry.path() / "job.json", error)) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    std::vector<TileStore> stores;
    for (const std::filesystem::path& path : found) {
      stores.push_back(TileStore::open(path));
      detail::check_same_job(planned, stores.back().job(), concat("'", path.string(), "'"));
    }
    const auto there =
        detail::finished_before(request, job, checked.light[index], plans[index].tiles,
                                [&]() -> const Json& { return planned; });
    if (there) {
      if (std::filesystem::exists(folder, error)) {
        const OwnerLock lock(folder / "lock", concat("output '", job.output.string(), "'"));
        remove_stale_temporaries(job.output);
        detail::remove_shards(folder, stores);
      }
      report.rasters.push_back(*there);
      continue;
    }
    detail::TileIndex tiles;
    for (const TileStore& store : stores) tiles.add(store);
    std::int64_t first_missing = -1;
    for (std::int64_t tile = 0; tile < plans[index].tiles && first_missing < 0; ++tile) {
      if (!tiles.has(tile)) first_missing = tile;
    }
    require(first_missing < 0, "'", job.output.string(),
            "' cannot be merged: ", plans[index].tiles - tiles.size(), " of ", plans[index].tiles,
            " tiles are missing, the first is ", first_missing, "; ", found.size(),
            " shards were found in '", folder.string(), "'");
    for (std::int64_t tile = 0; tile < plans[index].tiles; ++tile) {
      const auto& [store, record] = tiles.at(tile);
      require<FormatError>(store->intact(record), "tile ", tile, " in '", store->folder().string(),
                           "' is damaged: its checksum does not hold; run that shard again");
    }
    const OwnerLock lock(folder / "lock", concat("output '", job.output.string(), "'"));
    check_writable(job.output, request.overwrite);
    remove_stale_temporaries(job.output);
    detail::Progress progress(request, plans[index].tiles);
    RasterReport raster = detail::finish_raster(card, request, job, checked.light[index], planned,
                                                tiles, progress, checked.warnings);
    detail::remove_shards(folder, stores);
    raster.seconds = detail::seconds_since(began);
    report.rasters.push_back(raster);
  }
  report.warnings = std::move(checked.warnings);
  report.seconds = detail::seconds_since(start);
  return report;
}

}  // namespace deeplight
