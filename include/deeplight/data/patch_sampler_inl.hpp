// Definitions of patch_sampler.hpp: where to cut (Positions), when (Prefetcher), how (draw).
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "deeplight/core/counter_random.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/data/degradation.hpp"
#include "deeplight/data/patch_cut.hpp"
#include "deeplight/data/patch_sampler.hpp"

namespace deeplight {

/// Patch positions with weights. Positions lie `scale` pixels apart, so that a raster of 20,000 x
/// 20,000 pixels needs megabytes; the random phase then moves a patch within its step.
class PatchSampler::Positions {
 public:
  Positions(const PatchSource& source, const PatchSamplerOptions& options) : options_(options) {
    for (const Region& region : source.regions) add(region, source);
    require(!grids_.empty(), "no region holds a patch of ", side(), "x", side(),
            " high-resolution pixels (patch ", options.patch, " x scale ", options.scale, ")");
    require(total() > 0, "every patch position has weight 0: no valid pixel, or lit_bias is 0 and ",
            "nothing is lit");
  }

  std::int64_t count() const { return static_cast<std::int64_t>(cumulative_.size()); }
  double total() const { return cumulative_.empty() ? 0.0 : cumulative_.back(); }

  Region draw(CounterRandom& random) const {
    const double at = random.uniform() * total();
    const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), at);
    const std::int64_t index =
        std::min<std::int64_t>(found - cumulative_.begin(), last_with_weight_);
    const Grid& grid =
        *std::prev(std::upper_bound(grids_.begin(), grids_.end(), index,
                                    [](std::int64_t i, const Grid& g) { return i < g.first; }));
    const std::int64_t local = index - grid.first;
    Region window{grid.row + local / grid.columns * options_.scale,
                  grid.column + local % grid.columns * options_.scale, side(), side()};
    // Two draws always, so that the numbers that follow do not depend on the option.
    const double row_phase = random.uniform();
    const double column_phase = random.uniform();
    if (options_.random_phase) {
      window.row += phase(row_phase, grid.last_row - window.row);
      window.column += phase(column_phase, grid.last_column - window.column);
    }
    return window;
  }

 private:
  struct Grid {
    std::int64_t first = 0;                      // index of its first position
    std::int64_t row = 0, column = 0;            // of the first position
    std::int64_t columns = 0;                    // positions per row
    std::int64_t last_row = 0, last_column = 0;  // beyond which a patch leaves the region
  };

  std::int64_t side() const { return options_.patch * options_.scale; }

  std::int64_t phase(double uniform, std::int64_t room) const {
    return static_cast<std::int64_t>(uniform *
                                     static_cast<double>(std::min(options_.scale, room + 1)));
  }

  void add(const Region& region, const PatchSource& source) {
    const std::int64_t r = options_.scale;
    const auto start = [&](std::int64_t x) {
      return options_.random_phase ? x : (x + r - 1) / r * r;
    };
    Grid grid;
    grid.first = count();
    grid.row = start(region.row);
    grid.column = start(region.column);
    grid.last_row = region.row + region.height - side();
    grid.last_column = region.column + region.width - side();
    if (grid.row > grid.last_row || grid.column > grid.last_column) return;
    const std::int64_t rows = (grid.last_row - grid.row) / r + 1;
    grid.columns = (grid.last_column - grid.column) / r + 1;
    accumulate(grid, rows, source);
    grids_.push_back(grid);
  }

  /// Appends the weights of a grid's positions, from summed-area tables over its blocks.
  void accumulate(const Grid& grid, std::int64_t rows, const PatchSource& source) {
    const std::int64_t r = options_.scale;
    const std::int64_t p = options_.patch;
    const std::int64_t block_rows = rows + p - 1;
    const std::int64_t block_columns = grid.columns + p - 1;
    const std::int64_t pitch = block_columns + 1;
    std::vector<std::int64_t> lit(static_cast<std::size_t>((block_rows + 1) * pitch), 0);
    std::vector<std::int64_t> valid = lit;
    const float* target = source.target.const_data_ptr<float>();
    const bool* mask = source.valid.const_data_ptr<bool>();
    const std::int64_t width = source.target.size(2);
    for (std::int64_t i = 0; i < block_rows; ++i) {
      for (std::int64_t j = 0; j < block_columns; ++j) {
        std::int64_t lit_here = 0;
        std::int64_t valid_here = 0;
        for (std::int64_t y = 0; y < r; ++y) {
          const std::int64_t at = (grid.row + i * r + y) * width + grid.column + j * r;
          for (std::int64_t x = at; x < at + r; ++x) {
            valid_here += mask[x];
            lit_here += mask[x] && static_cast<double>(target[x]) > options_.lit_above;
          }
        }
        const auto at = static_cast<std::size_t>((i + 1) * pitch + j + 1);
        const auto above = at - static_cast<std::size_t>(pitch);
        lit[at] = lit_here + lit[at - 1] + lit[above] - lit[above - 1];
        valid[at] = valid_here + valid[at - 1] + valid[above] - valid[above - 1];
      }
    }
    const auto box = [&](const std::vector<std::int64_t>& table, std::int64_t i, std::int64_t j) {
      const auto at = [&](std::int64_t y, std::int64_t x) {
        return table[static_cast<std::size_t>(y * pitch + x)];
      };
      return static_cast<double>(at(i + p, j + p) - at(i, j + p) - at(i + p, j) + at(i, j));
    };
    const double area = static_cast<double>(side() * side());
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < grid.columns; ++j) {
        const double weight =
            (box(lit, i, j) / area + options_.lit_bias) * (box(valid, i, j) / area);
        if (weight > 0) last_with_weight_ = count();
        cumulative_.push_back(total() + weight);
      }
    }
  }

  PatchSamplerOptions options_;
  std::vector<Grid> grids_;
  std::vector<double> cumulative_;
  std::int64_t last_with_weight_ = 0;
};

/// Threads that compute coming steps. A step is computed by whoever takes it first.
class PatchSampler::Prefetcher {
 public:
  Prefetcher(std::function<PatchBatch(std::int64_t)> compute, std::int64_t threads)
      : compute_(std::move(compute)), ahead_(2 * threads) {
    for (std::int64_t i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }

  ~Prefetcher() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  PatchBatch take(std::int64_t step) {
    std::unique_lock lock(mutex_);
    std::erase_if(ready_, [&](const auto& entry) { return outside(entry.first, step); });
    std::erase_if(waiting_, [&](std::int64_t other) { return outside(other, step); });
    for (std::int64_t next = step + 1; next <= step + ahead_; ++next) {
      if (ready_.count(next) == 0 && running_.count(next) == 0) waiting_.insert(next);
    }
    waiting_.erase(step);
    changed_.notify_all();
    changed_.wait(lock, [&] { return running_.count(step) == 0; });
    const auto found = ready_.find(step);
    if (found == ready_.end()) {
      lock.unlock();
      return compute_(step);
    }
    Result result = std::move(found->second);
    ready_.erase(found);
    if (result.error) std::rethrow_exception(result.error);
    return std::move(result.batch);
  }

 private:
  struct Result {
    PatchBatch batch;
    std::exception_ptr error;
  };

  bool outside(std::int64_t other, std::int64_t step) const {
    return other < step || other > step + ahead_;
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      const std::int64_t step = *waiting_.begin();
      waiting_.erase(waiting_.begin());
      running_.insert(step);
      lock.unlock();
      Result result;
      try {
        result.batch = compute_(step);
      } catch (...) {
        result.error = std::current_exception();
      }
      lock.lock();
      running_.erase(step);
      ready_[step] = std::move(result);
      changed_.notify_all();
    }
  }

  std::function<PatchBatch(std::int64_t)> compute_;
  std::int64_t ahead_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::int64_t> waiting_;
  std::set<std::int64_t> running_;
  std::map<std::int64_t, Result> ready_;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

namespace detail {

inline void check_plane(const at::Tensor& tensor, const std::string& name, std::int64_t bands,
                        std::int64_t height, std::int64_t width) {
  require(tensor.dim() == 3 && (bands < 0 || tensor.size(0) == bands) && tensor.size(1) == height &&
              tensor.size(2) == width,
          name, " must be [", bands < 0 ? std::string("bands") : std::to_string(bands), ", ",
          height, ", ", width, "], got ", tensor.sizes());
}

inline void check_options(const PatchSamplerOptions& options) {
  const auto positive = [](std::int64_t value, const char* name) {
    require(value >= 1, name, " must be at least 1, got ", value);
  };
  positive(options.scale, "scale");
  positive(options.patch, "patch");
  positive(options.batch, "batch");
  require(options.threads >= 0, "threads must not be negative, got ", options.threads);
  require(options.lit_bias >= 0, "lit_bias must not be negative, got ", options.lit_bias);
  require(options.gain_jitter >= 0 && options.gain_jitter < 1,
          "gain_jitter must be in [0, 1), got ", options.gain_jitter);
  require(options.guide_dropout >= 0 && options.guide_dropout < 1,
          "guide_dropout must be in [0, 1), got ", options.guide_dropout);
  require(options.saturation >= 0, "saturation must not be negative, got ", options.saturation);
  require(options.first_item >= 0 && options.items >= 0 && options.first_item < options.batch &&
              options.items <= options.batch - options.first_item,
          "first_item ", options.first_item, " and items ", options.items,
          " must lie in the batch of ", options.batch);
}

inline void check_source(const PatchSource& source, const PatchSamplerOptions& options) {
  require(source.target.dim() == 3 && source.target.size(0) == 1,
          "the target must be [1, height, width], got ", source.target.sizes());
  const std::int64_t height = source.target.size(1);
  const std::int64_t width = source.target.size(2);
  if (source.low_resolution.defined()) {
    require(!options.random_phase,
            "random_phase needs a low resolution simulated from the target; switch it off or leave "
            "the real low resolution out");
    require(!source.kernel.defined() && options.saturation == 0,
            "kernel and saturation simulate a low resolution; a real one has gone through them");
    check_plane(source.low_resolution, "the low resolution", 1, height / options.scale,
                width / options.scale);
  }
  if (source.auxiliary.defined()) check_plane(source.auxiliary, "auxiliary", 1, height, width);
  if (source.valid.defined()) check_plane(source.valid, "valid", 1, height, width);
  for (const auto& [name, guide] : source.guides) {
    check_plane(guide, "guide '" + name + "'", -1, height, width);
  }
  require(!source.regions.empty(), "no region to draw patches from");
  for (const Region& region : source.regions) {
    require(Region{0, 0, height, width}.contains(region), "the region ", region,
            " leaves the target of ", height, " rows and ", width, " columns");
  }
}

}  // namespace detail

DEEPLIGHT_INLINE PatchSampler::PatchSampler(PatchSource source, const PatchSamplerOptions& options)
    : source_(std::move(source)), options_(options) {
  detail::check_options(options_);
  detail::check_source(source_, options_);
  const auto plain = [](at::Tensor& tensor, at::ScalarType type) {
    if (tensor.defined()) tensor = tensor.detach().to(at::kCPU, type).contiguous();
  };
  plain(source_.target, at::kFloat);
  plain(source_.low_resolution, at::kFloat);
  plain(source_.auxiliary, at::kFloat);
  for (auto& [name, guide] : source_.guides) plain(guide, at::kFloat);
  const at::Tensor finite = at::isfinite(source_.target);
  source_.valid = source_.valid.defined()
                      ? finite.logical_and(source_.valid.to(at::kCPU, at::kBool)).contiguous()
                      : finite;
  if (source_.kernel.defined()) {
    blurred_ = point_spread(source_.target, source_.valid, source_.kernel);
  }
  positions_ = std::make_unique<Positions>(source_, options_);
  if (options_.threads > 0) {
    prefetcher_ = std::make_unique<Prefetcher>([this](std::int64_t step) { return draw(step); },
                                               options_.threads);
  }
}

DEEPLIGHT_INLINE PatchSampler::~PatchSampler() = default;

DEEPLIGHT_INLINE std::int64_t PatchSampler::position_count() const {
  return positions_->count();
}

DEEPLIGHT_INLINE double PatchSampler::total_weight() const {
  return positions_->total();
}

DEEPLIGHT_INLINE PatchBatch PatchSampler::sample(std::int64_t step) {
  require(step >= 0, "step must not be negative, got ", step);
  return prefetcher_ ? prefetcher_->take(step) : draw(step);
}

DEEPLIGHT_INLINE PatchBatch PatchSampler::draw(std::int64_t step) const {
  const std::int64_t p = options_.patch;
  const std::int64_t side = p * options_.scale;
  const std::int64_t height = source_.target.size(1);
  const std::int64_t width = source_.target.size(2);
  const std::int64_t first = options_.first_item;
  const std::int64_t items = options_.items > 0 ? options_.items : options_.batch - first;
  const auto image = source_.target.options();
  PatchBatch batch;
  batch.low_resolution = at::empty({items, 1, p, p}, image);
  batch.target = at::empty({items, 1, side, side}, image);
  batch.valid = at::empty({items, 1, side, side}, image.dtype(at::kBool));
  if (source_.auxiliary.defined()) batch.auxiliary = at::empty_like(batch.target);
  for (const auto& [name, guide] : source_.guides) {
    batch.guides[name] = at::empty({items, guide.size(0), side, side}, image);
  }
  std::vector<float> seen(static_cast<std::size_t>(blurred_.defined() ? side * side : 0));
  for (std::int64_t item = 0; item < items; ++item) {
    CounterRandom random(static_cast<std::uint64_t>(options_.seed),
                         static_cast<std::uint64_t>(step),
                         static_cast<std::uint32_t>(first + item));
    const Region window = positions_->draw(random);
    const std::int64_t code = random.below(8);
    const detail::Flip flip{options_.flips ? code : 0, side};
    const auto gain = [&] {
      return static_cast<float>(1.0 + options_.gain_jitter * (2.0 * random.uniform() - 1.0));
    };
    const auto copy = [&](const at::Tensor& from, at::Tensor& to) {
      float* at = to.mutable_data_ptr<float>() + item * to.stride(0);
      detail::cut(from.const_data_ptr<float>(), height, width, from.size(0), window.row,
                  window.column, flip, at);
      return at;
    };
    const std::int64_t pixels = side * side;
    bool* valid = batch.valid.mutable_data_ptr<bool>() + item * pixels;
    detail::cut(source_.valid.const_data_ptr<bool>(), height, width, 1, window.row, window.column,
                flip, valid);
    float* target = copy(source_.target, batch.target);
    const float light = gain();
    for (std::int64_t i = 0; i < pixels; ++i) target[i] = valid[i] ? target[i] * light : 0.0F;
    float* low = batch.low_resolution.mutable_data_ptr<float>() + item * p * p;
    if (source_.low_resolution.defined()) {
      detail::cut(source_.low_resolution.const_data_ptr<float>(), height / options_.scale,
                  width / options_.scale, 1, window.row / options_.scale,
                  window.column / options_.scale, detail::Flip{flip.code, p}, low);
      for (std::int64_t i = 0; i < p * p; ++i) low[i] *= light;
    } else {
      if (blurred_.defined()) {
        detail::cut(blurred_.const_data_ptr<float>(), height, width, 1, window.row, window.column,
                    flip, seen.data());
        for (float& value : seen) value *= light;
      }
      detail::block_mean(blurred_.defined() ? seen.data() : target, valid, side, side,
                         options_.scale, low);
      detail::saturate(low, p * p, options_.saturation);
    }
    if (batch.auxiliary.defined()) copy(source_.auxiliary, batch.auxiliary);
    for (auto& [name, to] : batch.guides) {
      float* at = copy(source_.guides.at(name), to);
      const bool blank = random.uniform() < options_.guide_dropout;
      for (std::int64_t band = 0; band < to.size(1); ++band) {
        const float factor = blank ? 0.0F * gain() : gain();
        for (std::int64_t i = 0; i < pixels; ++i) *at++ *= factor;
      }
    }
    batch.windows.push_back(window);
  }
  return batch;
}

}  // namespace deeplight
