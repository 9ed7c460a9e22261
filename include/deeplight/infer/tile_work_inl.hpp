// One raster on its way through a network: how tiles are read, computed and finished.
//
// Everything here is constant once `start` is done, so that the stages may share it; GDAL's
// readers lock themselves. Images are [1, 1, H, W], windows count low-resolution pixels.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "deeplight/functional/block_mean.hpp"
#include "deeplight/infer/non_negative.hpp"
#include "deeplight/infer/predict.hpp"
#include "deeplight/infer/predict_job_inl.hpp"
#include "deeplight/infer/self_ensemble.hpp"
#include "deeplight/infer/tile_store.hpp"
#include "deeplight/raster/tile_plan.hpp"

namespace deeplight::detail {

/// Autocast of one thread for a while.
class AutocastScope {
 public:
  AutocastScope(c10::DeviceType device, Precision precision)
      : device_(device), was_(at::autocast::is_autocast_enabled(device)) {
    at::autocast::set_autocast_enabled(device_, precision == Precision::bfloat16);
    if (precision != Precision::bfloat16) return;
    dtype_ = at::autocast::get_autocast_dtype(device_);
    at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  }
  ~AutocastScope() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, was_);
    if (dtype_) at::autocast::set_autocast_dtype(device_, *dtype_);
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  c10::DeviceType device_;
  bool was_;
  std::optional<at::ScalarType> dtype_;
};

/// [1, bands, rows, columns] over the array's memory.
template <class Array>
at::Tensor view_of(Array& array) {
  const auto shape = array.shape();
  return at::from_blob(array.data(),
                       {1, static_cast<std::int64_t>(shape[0]), static_cast<std::int64_t>(shape[1]),
                        static_cast<std::int64_t>(shape[2])},
                       sizeof(*array.data()) == 1 ? at::kByte : at::kFloat);
}

/// The part `window` of a tensor [..., H, W] whose first pixel is (row, column).
inline at::Tensor cut(const at::Tensor& image, const Window& window, std::int64_t row = 0,
                      std::int64_t column = 0) {
  return image.narrow(-2, window.row - row, window.rows)
      .narrow(-1, window.column - column, window.columns);
}

/// Consecutive tiles of equal shape that go through the network together.
struct TileGroup {
  std::int64_t first = 0;
  std::int64_t count = 1;
};

struct PreparedTile {
  Tile tile;
  Window around;        // what `guides` cover; empty when there is nothing to compute
  GuideTensors guides;  // normalised, [1, channels, r*rows, r*columns]
};

struct PreparedGroup {
  std::int64_t first = 0;
  std::vector<PreparedTile> tiles;
};

struct ComputedTile {
  std::int64_t index = 0;
  at::Tensor image;   // normalised, undefined when there is nothing to compute
  at::Tensor spread;  // physical, undefined unless asked for
};

/// A tile as it waits on disk.
struct FinishedTile {
  TileRecord record;
  std::vector<float> values;
};

class TileWork {
 public:
  TileWork(Network& network, const Preprocessor& preprocessor, const PredictRequest& request,
           const PredictJob& job, Block low_resolution)
      : network_(network),
        preprocessor_(preprocessor),
        request_(request),
        job_(job),
        low_resolution_(std::move(low_resolution)),
        geometry_(geometry_of(network, preprocessor, request, job)),
        plan_(geometry_.plan()),
        symmetries_(symmetries(request.self_ensemble || request.uncertainty)) {
    const at::Tensor values = view_of(low_resolution_.values);
    const at::Tensor valid = view_of(low_resolution_.valid);
    normalised_ = at::empty({1, 1, geometry_.rows, geometry_.columns}, at::kFloat);
    // In strips: the double precision of the preparation would need several times the raster.
    constexpr std::int64_t strip_values = std::int64_t{1} << 22;
    const std::int64_t strip = std::max<std::int64_t>(strip_values / geometry_.columns, 1);
    for (std::int64_t row = 0; row < geometry_.rows; row += strip) {
      const std::int64_t rows = std::min(strip, geometry_.rows - row);
      normalised_.narrow(2, row, rows)
          .copy_(preprocessor_.low_resolution(values.narrow(2, row, rows),
                                              valid.narrow(2, row, rows)));
    }
  }

  static TileGeometry geometry_of(const Network& network, const Preprocessor& preprocessor,
                                  const PredictRequest& request, const PredictJob& job) {
    const Grid& grid = job.low_resolution.grid();
    return {grid.rows,
            grid.columns,
            request.tile,
            network.margin() + preprocessor.margin(),
            network.tile_multiple(),
            network.scale(),
            request.uncertainty ? 2 : 1};
  }

  const TileGeometry& geometry() const { return geometry_; }
  const TilePlan& plan() const { return plan_; }
  const Block& low_resolution() const { return low_resolution_; }

  /// Groups follow from the plan alone, so that a tile meets the same neighbours in every run.
  std::vector<TileGroup> groups() const {
    std::vector<TileGroup> all;
    std::vector<Window> shape;
    for (std::int64_t index = 0; index < plan_.size(); ++index) {
      std::vector<Window> here = shape_of(plan_[index]);
      if (index > 0 && all.back().count < request_.batch && here == shape) {
        ++all.back().count;
      } else {
        all.push_back({index, 1});
        shape = std::move(here);
      }
    }
    return all;
  }

  /// Computes what all tiles share, on the network's own device.
  void start(c10::Device device) {
    for (const Symmetry& symmetry : symmetries_) {
      statistics_.push_back(network_.image_statistics(symmetry.apply(normalised_).to(device)));
    }
    if (!network_.needs_representative_pass()) return;
    const AutocastScope autocast(device.type(), request_.precision);
    const Tile tile = representative_tile();
    const Window around = around_of(tile);
    const GuideTensors guides = prepared_guides(around);
    for (std::size_t index = 0; index < symmetries_.size(); ++index) {
      const View view = view_of_tile(symmetries_[index], tile.owner);
      const ImageStatistics moved = statistics_[index].for_tile(view.read.row, view.read.column);
      const auto [image, parts] = inputs(symmetries_[index], view, around, guides, device);
      statistics_[index].pooled = network_.representative_statistics(image, parts, &moved).pooled;
    }
  }

  bool has_light(const Window& owner) const {
    const auto rows = static_cast<std::size_t>(owner.rows);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::uint8_t* valid = low_resolution_.valid.data() +
                                  (owner.row + static_cast<std::int64_t>(row)) * geometry_.columns +
                                  owner.column;
      if (std::any_of(valid, valid + owner.columns, [](std::uint8_t seen) { return seen != 0; })) {
        return true;
      }
    }
    return false;
  }

  PreparedGroup prepare(const TileGroup& group) const {
    PreparedGroup prepared{group.first, {}};
    for (std::int64_t index = group.first; index < group.first + group.count; ++index) {
      const Tile tile = plan_[index];
      PreparedTile one{tile, {}, {}};
      if (has_light(tile.owner)) {
        one.around = around_of(tile);
        one.guides = prepared_guides(one.around);
      }
      prepared.tiles.push_back(std::move(one));
    }
    return prepared;
  }

  /// @param network  this work's, or a copy of it on `device`
  std::vector<ComputedTile> compute(Network& network, const PreparedGroup& group,
                                    c10::Device device) const {
    std::vector<ComputedTile> computed;
    std::vector<std::size_t> lit;
    for (std::size_t index = 0; index < group.tiles.size(); ++index) {
      computed.push_back({group.first + static_cast<std::int64_t>(index), {}, {}});
      if (group.tiles[index].around.rows > 0) lit.push_back(index);
    }
    if (lit.empty()) return computed;
    const AutocastScope autocast(device.type(), request_.precision);
    at::Tensor sum, mean, squares;
    for (std::size_t number = 0; number < symmetries_.size(); ++number) {
      const at::Tensor image =
          compute_one(network, symmetries_[number], statistics_[number], group, lit, device);
      sum = sum.defined() ? sum + image : image;
      if (!request_.uncertainty) continue;
      // Welford's sums: the spread is small beside the values.
      const at::Tensor value = preprocessor_.restore(image).to(at::kDouble);
      if (!mean.defined()) {
        mean = at::zeros_like(value);
        squares = at::zeros_like(value);
      }
      const at::Tensor step = value - mean;
      mean += step / static_cast<double>(number + 1);
      squares += step * (value - mean);
    }
    const auto members = static_cast<double>(symmetries_.size());
    if (symmetries_.size() > 1) sum = sum / members;
    for (std::size_t place = 0; place < lit.size(); ++place) {
      const auto row = static_cast<std::int64_t>(place);
      computed[lit[place]].image = sum.narrow(0, row, 1);
      if (request_.uncertainty) {
        computed[lit[place]].spread =
            (squares.narrow(0, row, 1) / (members - 1)).sqrt().to(at::kFloat);
      }
    }
    return computed;
  }

  FinishedTile finish(const ComputedTile& tile) {
    const Window owner = plan_[tile.index].owner;
    FinishedTile finished;
    finished.record.index = tile.index;
    if (!tile.image.defined()) return finished;
    at::Tensor image = preprocessor_.restore(tile.image);
    const at::Tensor coarse = cut(view_of(low_resolution_.values), owner);
    if (request_.consistency != Consistency::none) {
      image = functional::enforce_block_mean(image, coarse, geometry_.scale, request_.consistency);
    }
    if (request_.non_negative) {
      image = request_.consistency == Consistency::additive
                  ? non_negative_block_mean(image, coarse, geometry_.scale)
                  : image.clamp_min(0.0);
    }
    image = image.contiguous();
    const at::Tensor spread = tile.spread.defined() ? tile.spread.contiguous() : at::Tensor();
    const float* predicted = image.const_data_ptr<float>();
    const float* spreads = spread.defined() ? spread.const_data_ptr<float>() : nullptr;
    const Window fine = owner.refined(geometry_.scale);
    const std::int64_t pixels = fine.rows * fine.columns;
    finished.values.assign(static_cast<std::size_t>(geometry_.bands * pixels),
                           std::numeric_limits<float>::quiet_NaN());
    TileRecord& record = finished.record;
    for (std::int64_t row = 0; row < fine.rows; ++row) {
      const std::uint8_t* seen = low_resolution_.valid.data() +
                                 (owner.row + row / geometry_.scale) * geometry_.columns +
                                 owner.column;
      for (std::int64_t column = 0; column < fine.columns; ++column) {
        if (seen[column / geometry_.scale] == 0) continue;
        const std::int64_t index = row * fine.columns + column;
        if (!std::isfinite(predicted[index])) {
          ++record.not_finite;
          continue;
        }
        finished.values[static_cast<std::size_t>(index)] = predicted[index];
        record.light += predicted[index];
        ++record.pixels;
        if (spreads != nullptr && std::isfinite(spreads[index])) {
          finished.values[static_cast<std::size_t>(pixels + index)] = spreads[index];
        }
      }
    }
    return finished;
  }

 private:
  /// Where a tile lies in an image after a symmetry, and what of the original it reads.
  struct View {
    Window turned;  // the owner, in the turned image
    Window read;    // with its halo, in the turned image
    Window source;  // the same in the original image
  };

  View view_of_tile(const Symmetry& symmetry, const Window& owner) const {
    const auto [rows, columns] = symmetry.size(geometry_.rows, geometry_.columns);
    View view;
    view.turned = symmetry.apply(owner, geometry_.rows, geometry_.columns);
    view.read =
        TilePlan::read_window(view.turned, rows, columns, geometry_.halo, geometry_.multiple);
    view.source = symmetry.undo(view.read, geometry_.rows, geometry_.columns);
    return view;
  }

  /// Equal for tiles that may share a batch: the owner's and the read windows' sizes and distances.
  std::vector<Window> shape_of(const Tile& tile) const {
    std::vector<Window> shape{{0, 0, tile.owner.rows, tile.owner.columns}};
    for (const Symmetry& symmetry : symmetries_) {
      const View view = view_of_tile(symmetry, tile.owner);
      shape.push_back({view.turned.row - view.read.row, view.turned.column - view.read.column,
                       view.read.rows, view.read.columns});
    }
    return shape;
  }

  /// Each symmetry aligns its own read window to the network's multiple: read what covers all.
  Window around_of(const Tile& tile) const {
    return symmetries_.size() == 1
               ? tile.read
               : TilePlan::read_window(tile.owner, geometry_.rows, geometry_.columns,
                                       geometry_.halo + geometry_.multiple, 1);
  }

  /// The tile with the largest share of valid low-resolution pixels; of several, the one whose
  /// centre is nearest to the raster's, then the first.
  Tile representative_tile() const {
    double best_share = -1.0, best_distance = 0.0;
    Tile best = plan_[0];
    for (std::int64_t index = 0; index < plan_.size(); ++index) {
      const Window owner = plan_[index].owner;
      const at::Tensor valid = cut(view_of_valid(), owner);
      const double share = static_cast<double>(valid.sum().item<std::int64_t>()) /
                           static_cast<double>(owner.rows * owner.columns);
      const double distance =
          std::hypot(static_cast<double>(2 * owner.row + owner.rows - geometry_.rows),
                     static_cast<double>(2 * owner.column + owner.columns - geometry_.columns));
      if (share > best_share || (share == best_share && distance < best_distance)) {
        best = plan_[index];
        best_share = share;
        best_distance = distance;
      }
    }
    return best;
  }

  at::Tensor view_of_valid() const {
    return at::from_blob(const_cast<std::uint8_t*>(low_resolution_.valid.data()),
                         {geometry_.rows, geometry_.columns}, at::kByte);
  }

  GuideTensors prepared_guides(const Window& around) const {
    GuideTensors guides;
    for (const auto& [name, reader] : job_.guides) {
      guides[name] = prepared_guide(name, reader, around.refined(geometry_.scale));
    }
    return guides;
  }

  /// A guide's window [1, channels, rows, columns], normalised. Read and prepared in strips: the
  /// double precision of the preparation would otherwise need several times the guide's memory.
  at::Tensor prepared_guide(const std::string& name, const RasterReader& reader,
                            const Window& window) const {
    constexpr std::int64_t strip_values = std::int64_t{1} << 22;
    const auto bands = static_cast<std::int64_t>(reader.info().bands.size());
    const std::int64_t strip =
        std::max<std::int64_t>(strip_values / (bands * window.columns), geometry_.scale);
    const std::int64_t reach = preprocessor_.margin() * geometry_.scale;
    at::Tensor guide;
    for (std::int64_t start = 0; start < window.rows; start += strip) {
      const std::int64_t rows = std::min(strip, window.rows - start);
      const std::int64_t first = std::max<std::int64_t>(start - reach, 0);
      const std::int64_t last = std::min(start + rows + reach, window.rows);
      Block block = reader.read({window.row + first, window.column, last - first, window.columns});
      const at::Tensor part = preprocessor_.guide(name, view_of(block.values), view_of(block.valid))
                                  .narrow(2, start - first, rows);
      if (!guide.defined()) {
        guide = at::empty({1, part.size(1), window.rows, window.columns}, part.options());
      }
      guide.narrow(2, start, rows).copy_(part);
    }
    return guide;
  }

  std::pair<at::Tensor, GuideTensors> inputs(const Symmetry& symmetry, const View& view,
                                             const Window& around, const GuideTensors& guides,
                                             c10::Device device) const {
    const std::int64_t scale = geometry_.scale;
    GuideTensors parts;
    for (const auto& [name, guide] : guides) {
      parts[name] = symmetry
                        .apply(cut(guide, view.source.refined(scale), around.row * scale,
                                   around.column * scale))
                        .to(device);
    }
    return {symmetry.apply(cut(normalised_, view.source)).to(device), std::move(parts)};
  }

  /// Statistics of several tiles, seen from the first: a warp about another centre is the same warp
  /// with another shift.
  static ImageStatistics joined_statistics(const std::vector<ImageStatistics>& all) {
    ImageStatistics first = all.front();
    if (all.size() == 1 || !first.warp) return first;
    std::vector<at::Tensor> matrices;
    for (const ImageStatistics& other : all) {
      at::Tensor matrix = other.warp->matrix.clone();
      const double dx = first.warp->centre_x - other.warp->centre_x;
      const double dy = first.warp->centre_y - other.warp->centre_y;
      matrix.select(2, 2) += matrix.select(2, 0) * dx + matrix.select(2, 1) * dy;
      matrices.push_back(matrix);
    }
    first.warp->matrix = at::cat(matrices, 0);
    return first;
  }

  /// Normalised images [tiles, 1, r*rows, r*columns] of the owners, on the CPU.
  at::Tensor compute_one(Network& network, const Symmetry& symmetry,
                         const ImageStatistics& statistics, const PreparedGroup& group,
                         const std::vector<std::size_t>& lit, c10::Device device) const {
    std::vector<at::Tensor> images;
    std::map<std::string, std::vector<at::Tensor>> guides;
    std::vector<ImageStatistics> moved;
    Part owned;
    for (const std::size_t index : lit) {
      const PreparedTile& tile = group.tiles[index];
      const View view = view_of_tile(symmetry, tile.tile.owner);
      auto [image, parts] = inputs(symmetry, view, tile.around, tile.guides, device);
      images.push_back(image);
      for (auto& [name, part] : parts) guides[name].push_back(part);
      moved.push_back(statistics.for_tile(view.read.row, view.read.column));
      owned = {view.turned.row - view.read.row, view.turned.column - view.read.column,
               view.turned.rows, view.turned.columns};
    }
    GuideTensors together;
    for (auto& [name, parts] : guides) {
      together[name] = parts.size() == 1 ? parts.front() : at::cat(parts, 0);
      parts.clear();
    }
    ImageStatistics shared = joined_statistics(moved);
    if (shared.warp) shared.warp->matrix = shared.warp->matrix.to(device);
    for (auto& [name, value] : shared.pooled) value = value.to(device);
    const at::Tensor image = network.forward_part(
        images.size() == 1 ? images.front() : at::cat(images, 0), together, owned, &shared);
    return symmetry.undo(image).to(at::kCPU).to(at::kFloat);
  }

  Network& network_;
  const Preprocessor& preprocessor_;
  const PredictRequest& request_;
  const PredictJob& job_;
  Block low_resolution_;
  TileGeometry geometry_;
  TilePlan plan_;
  std::vector<Symmetry> symmetries_;
  at::Tensor normalised_;
  std::vector<ImageStatistics> statistics_;  // one for each symmetry
};

}  // namespace deeplight::detail
