// Definitions of predict.hpp.
#pragma once

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <memory>
#include <new>
#include <set>
#include <system_error>
#include <tuple>

#include "deeplight/infer/assemble_inl.hpp"
#include "deeplight/infer/pipeline.hpp"
#include "deeplight/infer/predict.hpp"
#include "deeplight/infer/predict_checks_inl.hpp"
#include "deeplight/infer/predict_job_inl.hpp"
#include "deeplight/infer/predict_scopes_inl.hpp"
#include "deeplight/infer/tile_input_inl.hpp"
#include "deeplight/infer/tile_pipeline_inl.hpp"
#include "deeplight/infer/tile_work_inl.hpp"
#include "deeplight/raster/stale_temporaries.hpp"

namespace deeplight {

namespace detail {

/// Whether the message says that memory ran out. PyTorch's CPU allocator has no type of its own for
/// it, neither has oneDNN, which then lacks room for the code that it writes.
inline bool means_out_of_memory(const std::string& text) {
  return text.find("not enough memory") != std::string::npos ||
         text.find("can't allocate memory") != std::string::npos ||
         text.find("out of memory") != std::string::npos || text == "could not create a primitive";
}

/// A request whose every check has passed.
struct CheckedRequest {
  Preprocessor preprocessor;
  std::vector<PredictJob> jobs;
  std::vector<LightSummary> light;
  std::vector<std::string> warnings;
};

inline CheckedRequest checked(const Card& card, const PredictRequest& request, bool with_guides,
                              bool may_be_there = false) {
  check_options(request);
  CheckedRequest checked{Preprocessor(card.preprocessing, card.scale), {}, {}, {}};
  check_outputs(request, may_be_there);
  if (with_guides) check_guide_names(card, request);
  for (std::size_t index = 0; index < request.low_resolution.size(); ++index) {
    checked.jobs.push_back(open_job(card, request, index, with_guides, checked.jobs));
    const RasterReader& reader = checked.jobs.back().low_resolution;
    LightSummary light;
    std::tie(light, checked.jobs.back().checksum) = survey(reader);
    checked.light.push_back(light);
    require(light.valid > 0, "low resolution '", reader.info().path,
            "' has no valid pixel: all are nodata, NaN or masked",
            checked.jobs.back().quality ? ", also by its quality bits" : "");
    // The transform refuses what it cannot take: now, not at some tile.
    checked.preprocessor.low_resolution(at::full({1, 1, 1, 1}, light.minimum), at::Tensor{});
    require(request.consistency != Consistency::multiplicative || light.minimum >= 0,
            "multiplicative consistency needs light of at least 0; '", reader.info().path,
            "' holds ", light.minimum);
    require(!request.non_negative || request.consistency == Consistency::none || light.minimum >= 0,
            "non-negative outputs cannot have the block means of '", reader.info().path,
            "', which holds ", light.minimum);
    if (takes_kelvin(card)) {
      radiometry::check_kelvin(light.minimum, light.maximum, reader.info().path);
    }
    warn_of_cell_size(card, reader.info(), checked.warnings);
    warn_of_values(card, reader.info(), light, checked.warnings);
  }
  return checked;
}

/// Waits for tiles of an output; keeps what is finished when the work ends early.
class StoreKeeper {
 public:
  explicit StoreKeeper(TileStore store) : store_(std::move(store)) {}
  StoreKeeper(StoreKeeper&& other) noexcept
      : store_(std::move(other.store_)), whole_(std::exchange(other.whole_, true)) {}
  ~StoreKeeper() {
    if (whole_) return;
    try {
      store_.commit();
      if (store_.size() == 0) store_.remove();
    } catch (const Error&) {  // the failure that ended the work is on its way already
    }
  }
  TileStore& operator*() { return store_; }
  TileStore* operator->() { return &store_; }
  /// Nothing is left to resume.
  void done() { whole_ = true; }

 private:
  TileStore store_;
  bool whole_ = false;
};

inline std::filesystem::path folder_for(const PredictRequest& request, std::size_t output) {
  const std::filesystem::path beside = scratch_folder(request.outputs[output]);
  return request.scratch ? *request.scratch / beside.filename() : beside;
}

/// Counts tiles of all rasters for the caller's `progress`.
class Progress {
 public:
  Progress(const PredictRequest& request, std::int64_t total) : request_(request), total_(total) {}
  void advance(std::int64_t finished) {
    done_ += finished;
    require<Cancelled>(!request_.progress || request_.progress(done_, total_),
                       "prediction cancelled after ", done_, " of ", total_,
                       " tiles; what is finished is kept: resume it (--resume)");
  }

 private:
  const PredictRequest& request_;
  std::int64_t total_, done_ = 0;
};

/// Runs `work` with PyTorch's and the standard library's ways to say "no memory" made one.
template <class Work>
auto with_memory_errors(const std::filesystem::path& output, std::int64_t tile, const Work& work) {
  const std::string memory = concat("out of memory while predicting '", output.string(),
                                    "'; a smaller tile than ", tile, " needs less");
  try {
    return work();
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(memory);
  } catch (const Error&) {
    throw;
  } catch (const c10::Error& error) {
    if (!means_out_of_memory(error.what_without_backtrace())) throw;
    throw OutOfMemory(memory);
  } catch (const std::system_error& error) {  // a thread finds no room for its stack
    if (error.code() != std::errc::resource_unavailable_try_again) throw;
    throw OutOfMemory(memory);
  } catch (const std::exception& error) {
    if (!means_out_of_memory(error.what())) throw;
    throw OutOfMemory(memory);
  }
}

/// What is the same for all rasters of a run.
struct Run {
  Network& network;
  const Card& card;
  const PredictRequest& request;
  CheckedRequest& checked;
  std::optional<SharedDescription> shared{};

  const SharedDescription& description() {
    if (!shared) shared = describe_shared(network, card, request, checked.jobs.front());
    return *shared;
  }
};

inline std::int64_t tiles_of(const TileGeometry& geometry) {
  return geometry.plan().size();
}

/// What an output says of itself; a Zarr of several bands says it in each, not as a whole.
inline std::map<std::string, std::string> metadata_of(const std::filesystem::path& output) {
  for (const std::string& name :
       {output.string(), concat("ZARR:\"", output.string(), "\":/Band1")}) {
    try {
      return raster_info(name).metadata;
    } catch (const Error&) {  // no raster of ours
    }
  }
  return {};
}

/// What an earlier run said of an output that exists; nothing where there is none to keep.
/// @param describe  the job now: an output has its name only when whole, so that one of this very
///                  job needs no more work
/// @throws FileError  the output is of something else
template <class Describe>
std::optional<RasterReport> finished_before(const PredictRequest& request, const PredictJob& job,
                                            const LightSummary& light, std::int64_t tiles,
                                            const Describe& describe) {
  std::error_code error;
  if (request.overwrite || !std::filesystem::exists(job.output, error)) return std::nullopt;
  std::map<std::string, std::string> said = metadata_of(job.output);
  const auto value = [&](const char* key) {
    const Json number = Json::parse(said[key], nullptr, /*allow_exceptions=*/false);
    return number.is_number() ? number.get<double>() : std::numeric_limits<double>::quiet_NaN();
  };
  require<FileError>(
      said.count("DEEPLIGHT_JOB") == 1 && said.at("DEEPLIGHT_JOB") == job_digest(describe()),
      "output '", job.output.string(),
      "' exists already and is not of this job; remove it or ask for it to be overwritten");
  RasterReport report;
  report.low_resolution = job.low_resolution.info().path;
  report.output = job.output;
  report.mean_in = value("DEEPLIGHT_MEAN_IN");
  report.mean_out = value("DEEPLIGHT_MEAN_OUT");
  report.light_ratio = value("DEEPLIGHT_LIGHT_RATIO");
  const Grid& grid = job.low_resolution.grid();
  report.valid_pixels = light.valid;
  report.invalid_pixels = grid.rows * grid.columns - light.valid;
  report.tiles = report.resumed = tiles;
  return report;
}

/// Writes the output from tiles that are all there.
inline RasterReport finish_raster(const Card& card, const PredictRequest& request,
                                  const PredictJob& job, const LightSummary& light,
                                  const Json& description, const TileIndex& tiles,
                                  Progress& progress, std::vector<std::string>& warnings) {
  const auto geometry = description.at("geometry").get<TileGeometry>();
  const TileRecord total = total_of(tiles, tiles_of(geometry));
  RasterReport report = report_of(job, geometry, light, total);
  report.tiles = tiles_of(geometry);
  if (total.not_finite > 0) {
    warnings.push_back(concat(total.not_finite, " pixels of '", job.output.string(),
                              "' came out of the network as NaN or infinity and are nodata"));
  }
  const auto sink =
      sinks()
          .at(sink_format(job.output, request.format))
          .open(job.output, job.low_resolution.grid().refined(geometry.scale), geometry.bands,
                output_options(card, request, job, description, report));
  assemble(tiles, geometry, *sink, [&] { progress.advance(0); });
  return report;
}

/// What a run that was killed after it had named its output could not remove any more.
inline void remove_leftovers(Run& run, std::size_t index) {
  const PredictJob& job = run.checked.jobs[index];
  const std::filesystem::path folder = folder_for(run.request, index);
  std::error_code error;
  if (!std::filesystem::exists(folder, error)) return;
  TileStore store(folder, Json::object(), concat("output '", job.output.string(), "'"),
                  TileStore::Existing::discard);
  remove_stale_temporaries(job.output);
  store.remove();
}

/// One of the rasters that go through together.
struct StackMember {
  /// @param open  from the raster's place and its job's description to where its tiles go
  template <class Open>
  StackMember(Run& run, std::size_t place, const Open& open)
      : index(place),
        job(run.checked.jobs[place]),
        work(run.network, run.checked.preprocessor, run.request, job),
        description(describe_job(run.description(), work.input().geometry(), job)),
        store(open(place, description)),
        resumed(store->size()) {}

  const std::size_t index;
  const PredictJob& job;
  TileWork work;
  const Json description;
  StoreKeeper store;
  const std::int64_t resumed;
};

/// Rasters that share their guides, which are read once for all of them.
inline std::vector<std::vector<std::size_t>> stacks_of(const std::vector<PredictJob>& jobs,
                                                       const std::vector<std::size_t>& wanted,
                                                       bool align) {
  std::vector<std::vector<std::size_t>> stacks;
  for (const std::size_t index : wanted) {
    const auto alike = std::find_if(stacks.begin(), stacks.end(), [&](const auto& stack) {
      return !jobs[index].guides.empty() && share_guides(jobs[stack.front()], jobs[index], align);
    });
    if (alike != stacks.end()) {
      alike->push_back(index);
    } else {
      stacks.push_back({index});
    }
  }
  return stacks;
}

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Computes what the rasters of a stack still lack of some groups.
/// @param choose  from all groups of a raster to those that are wanted
/// @param open    see StackMember
template <class Choose, class Open>
std::vector<std::unique_ptr<StackMember>> compute_stack(Run& run,
                                                        const std::vector<std::size_t>& stack,
                                                        Progress& progress, const Choose& choose,
                                                        const Open& open) {
  std::vector<std::unique_ptr<StackMember>> members;
  std::vector<Lane> lanes;
  for (const std::size_t index : stack) {
    members.push_back(std::make_unique<StackMember>(run, index, open));
    lanes.push_back({&members.back()->work, &*members.back()->store});
    if (members.back()->resumed > 0) progress.advance(members.back()->resumed);
  }
  run_tiles(lanes, run.network, run.description().devices, run.request,
            choose(members.front()->work.input().groups()),
            [&](std::int64_t tiles) { progress.advance(tiles); });
  return members;
}

/// Calls `give` with the index and report of each raster as it is whole.
template <class Give>
void predict_stack(Run& run, const std::vector<std::size_t>& stack, Progress& progress,
                   const Give& give) {
  using Existing = TileStore::Existing;
  const PredictRequest& request = run.request;
  const auto start = std::chrono::steady_clock::now();
  const auto open = [&](std::size_t index, const Json& description) {
    const std::filesystem::path& output = run.checked.jobs[index].output;
    StoreKeeper store(TileStore(folder_for(request, index), description,
                                concat("output '", output.string(), "'"),
                                request.resume      ? Existing::resume
                                : request.overwrite ? Existing::discard
                                                    : Existing::refuse));
    // Again: the lock may have been waited for.
    check_writable(output, request.overwrite);
    remove_stale_temporaries(output);
    return store;
  };
  const auto members = compute_stack(
      run, stack, progress, [](std::vector<TileGroup> groups) { return groups; }, open);
  for (const auto& member : members) member->store->commit();  // encoding may take long
  const double share = seconds_since(start) / static_cast<double>(stack.size());
  for (const auto& member : members) {
    const auto began = std::chrono::steady_clock::now();
    TileIndex tiles;
    tiles.add(*member->store);
    RasterReport report =
        finish_raster(run.card, request, member->job, run.checked.light[member->index],
                      member->description, tiles, progress, run.checked.warnings);
    member->store.done();
    member->store->remove();
    report.resumed = member->resumed;
    report.seconds = share + seconds_since(began);
    give(member->index, report);
  }
}

}  // namespace detail

DEEPLIGHT_INLINE PredictReport predict(Network& network, const Card& card,
                                       const PredictRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  detail::check_card(network, card, Preprocessor(card.preprocessing, card.scale));
  const detail::GdalCacheScope cache;
  const detail::AllocationScope allocations;
  detail::CheckedRequest checked =
      detail::checked(card, request, /*with_guides=*/true, /*may_be_there=*/request.resume);
  const at::NoGradGuard no_gradients;
  const detail::ThreadScope threads(request.threads);
  const detail::EvaluationMode evaluation(network);
  detail::Run run{network, card, request, checked};
  std::int64_t total = 0;
  std::vector<std::optional<RasterReport>> there;
  for (std::size_t index = 0; index < checked.jobs.size(); ++index) {
    const detail::PredictJob& job = checked.jobs[index];
    const detail::TileGeometry geometry =
        detail::TileInput::geometry_of(network, checked.preprocessor, request, job);
    total += detail::tiles_of(geometry);
    there.push_back(detail::finished_before(
        request, job, checked.light[index], detail::tiles_of(geometry),
        [&] { return detail::describe_job(run.description(), geometry, job); }));
  }
  detail::Progress progress(request, total);
  progress.advance(0);
  PredictReport report;
  report.rasters.resize(checked.jobs.size());
  std::vector<std::size_t> wanted;
  for (std::size_t index = 0; index < checked.jobs.size(); ++index) {
    if (!there[index]) {
      wanted.push_back(index);
      continue;
    }
    detail::remove_leftovers(run, index);
    progress.advance(there[index]->tiles);
    report.rasters[index] = *there[index];
  }
  for (const std::vector<std::size_t>& stack :
       detail::stacks_of(checked.jobs, wanted, request.align)) {
    detail::with_memory_errors(request.outputs[stack.front()], request.tile, [&] {
      detail::predict_stack(run, stack, progress, [&](std::size_t index, const RasterReport& one) {
        report.rasters[index] = one;
      });
    });
  }
  report.warnings = std::move(checked.warnings);
  report.seconds = detail::seconds_since(start);
  return report;
}

}  // namespace deeplight

#include "deeplight/infer/predict_shards_inl.hpp"
