// Definitions of predict.hpp.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <cpl_conv.h>
#include <gdal.h>

#include <chrono>
#include <memory>
#include <new>
#include <set>

#include "deeplight/infer/assemble_inl.hpp"
#include "deeplight/infer/pipeline.hpp"
#include "deeplight/infer/predict.hpp"
#include "deeplight/infer/predict_checks_inl.hpp"
#include "deeplight/infer/predict_job_inl.hpp"
#include "deeplight/infer/tile_pipeline_inl.hpp"
#include "deeplight/infer/tile_work_inl.hpp"

namespace deeplight {

namespace detail {

/// Evaluation mode for a while.
class EvaluationMode {
 public:
  explicit EvaluationMode(Network& network)
      : network_(network), was_training_(network.is_training()) {
    if (was_training_) network_.eval();
  }
  ~EvaluationMode() {
    if (was_training_) network_.train();
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  Network& network_;
  bool was_training_;
};

/// PyTorch's number of threads for a while.
class ThreadScope {
 public:
  explicit ThreadScope(std::int64_t threads) : was_(at::get_num_threads()) {
    if (threads > 0) at::set_num_threads(static_cast<int>(threads));
  }
  ~ThreadScope() {
    if (at::get_num_threads() != was_) at::set_num_threads(was_);
  }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int was_;
};

/// GDAL's cache of blocks would grow to a twentieth of the machine's memory; tiles are read once,
/// their halos a few times. A GDAL_CACHEMAX of the user stands.
class GdalCacheScope {
 public:
  GdalCacheScope() : was_(GDALGetCacheMax64()) {
    constexpr GIntBig enough = GIntBig{128} << 20;
    limited_ = CPLGetConfigOption("GDAL_CACHEMAX", nullptr) == nullptr && was_ > enough;
    if (limited_) GDALSetCacheMax64(enough);
  }
  ~GdalCacheScope() {
    if (limited_) GDALSetCacheMax64(was_);
  }
  GdalCacheScope(const GdalCacheScope&) = delete;
  GdalCacheScope& operator=(const GdalCacheScope&) = delete;

 private:
  GIntBig was_;
  bool limited_;
};

/// Whether PyTorch's message says that memory ran out; its CPU allocator has no type of its own.
inline bool means_out_of_memory(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  return text.find("not enough memory") != std::string::npos ||
         text.find("can't allocate memory") != std::string::npos ||
         text.find("out of memory") != std::string::npos;
}

/// A request whose every check has passed.
struct CheckedRequest {
  Preprocessor preprocessor;
  std::vector<PredictJob> jobs;
  std::vector<LightSummary> light;
  std::vector<std::string> warnings;
};

inline CheckedRequest checked(const Card& card, const PredictRequest& request, bool with_guides) {
  check_options(request);
  CheckedRequest checked{Preprocessor(card.preprocessing, card.scale), {}, {}, {}};
  check_outputs(request);
  if (with_guides) check_guide_names(card, request);
  for (std::size_t index = 0; index < request.low_resolution.size(); ++index) {
    checked.jobs.push_back(open_job(card, request, index, with_guides));
    const RasterReader& reader = checked.jobs.back().low_resolution;
    const LightSummary light = summarise(reader.read());
    checked.light.push_back(light);
    require(light.valid > 0, "low resolution '", reader.info().path,
            "' has no valid pixel: all are nodata, NaN or masked");
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
  } catch (const c10::Error& error) {
    if (!means_out_of_memory(error)) throw;
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
  const auto sink = sinks().at(sink_format(job.output, request.format))(
      job.output, job.low_resolution.grid().refined(geometry.scale), geometry.bands,
      output_options(card, request, job, description, report));
  assemble(tiles, geometry, *sink, [&] { progress.advance(0); });
  return report;
}

inline RasterReport predict_raster(Run& run, std::size_t index, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const PredictJob& job = run.checked.jobs[index];
  TileWork work(run.network, run.checked.preprocessor, run.request, job, job.low_resolution.read());
  const Json description =
      describe_job(run.description(), work.geometry(), job, work.low_resolution());
  const std::string what = concat("output '", job.output.string(), "'");
  StoreKeeper store(TileStore(folder_for(run.request, index), description, what,
                              run.request.resume      ? TileStore::Existing::resume
                              : run.request.overwrite ? TileStore::Existing::discard
                                                      : TileStore::Existing::refuse));
  check_writable(job.output, run.request.overwrite);  // again: the lock may have been waited for
  const std::int64_t resumed = store->size();
  if (resumed > 0) progress.advance(resumed);
  run_tiles(work, run.network, run.description().devices, run.request, work.groups(), *store,
            [&](std::int64_t tiles) { progress.advance(tiles); });
  TileIndex tiles;
  tiles.add(*store);
  RasterReport report = finish_raster(run.card, run.request, job, run.checked.light[index],
                                      description, tiles, progress, run.checked.warnings);
  store.done();
  store->remove();
  report.resumed = resumed;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace detail

DEEPLIGHT_INLINE PredictReport predict(Network& network, const Card& card,
                                       const PredictRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  detail::check_card(network, card, Preprocessor(card.preprocessing, card.scale));
  const detail::GdalCacheScope cache;
  detail::CheckedRequest checked = detail::checked(card, request, /*with_guides=*/true);
  const at::NoGradGuard no_gradients;
  const detail::ThreadScope threads(request.threads);
  const detail::EvaluationMode evaluation(network);
  detail::Run run{network, card, request, checked};
  std::int64_t total = 0;
  for (const detail::PredictJob& job : checked.jobs) {
    total += detail::tiles_of(
        detail::TileWork::geometry_of(network, checked.preprocessor, request, job));
  }
  detail::Progress progress(request, total);
  progress.advance(0);
  PredictReport report;
  for (std::size_t index = 0; index < checked.jobs.size(); ++index) {
    report.rasters.push_back(detail::with_memory_errors(request.outputs[index], request.tile, [&] {
      return detail::predict_raster(run, index, progress);
    }));
  }
  report.warnings = std::move(checked.warnings);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace deeplight

#include "deeplight/infer/predict_shards_inl.hpp"
