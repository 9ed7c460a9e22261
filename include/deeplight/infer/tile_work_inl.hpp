// One raster on its way through a network: how its tiles are computed and finished.
//
// Everything here is constant once `start` is done, so that the stages may share it. Images are
// [1, 1, H, W], windows count low-resolution pixels.
#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
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
#include "deeplight/infer/tile_input_inl.hpp"
#include "deeplight/infer/tile_store.hpp"

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

struct ComputedTile {
  std::int64_t index = 0;
  at::Tensor image;   // normalised, undefined when there is nothing to compute
  at::Tensor spread;  // physical, undefined unless asked for
  Block owned;        // the low resolution, physical
};

/// A tile as it waits on disk.
struct FinishedTile {
  TileRecord record;
  std::vector<float> values;
};

class TileWork {
 public:
  TileWork(Network& network, const Preprocessor& preprocessor, const PredictRequest& request,
           const PredictJob& job)
      : network_(network),
        preprocessor_(preprocessor),
        request_(request),
        input_(network, preprocessor, request, job),
        geometry_(input_.geometry()),
        symmetries_(input_.symmetries_used()) {}

  const TileInput& input() const { return input_; }

  /// Computes what all tiles share, on the network's own device.
  void start(c10::Device device) {
    for (const Symmetry& symmetry : symmetries_) {
      statistics_.push_back(network_.streamed_statistics(input_.rows_after(symmetry, device)));
    }
    if (!network_.needs_representative_pass()) return;
    const AutocastScope autocast(device.type(), request_.precision);
    const PreparedTile tile = input_.prepare(input_.representative_tile());
    const GuideTensors guides = input_.guide_windows(device.type())(tile.around);
    for (std::size_t index = 0; index < symmetries_.size(); ++index) {
      const TileInput::View view = input_.view_of_tile(symmetries_[index], tile.tile.owner);
      const ImageStatistics moved = statistics_[index].for_tile(view.read.row, view.read.column);
      const auto [image, parts] = inputs(symmetries_[index], view, tile, guides, device);
      statistics_[index].pooled = network_.representative_statistics(image, parts, &moved).pooled;
    }
  }

  /// @param network  this work's, or a copy of it on `device`
  /// @param first    index of the first tile
  /// @param guides   of each tile, over what its low resolution covers
  std::vector<ComputedTile> compute(Network& network, std::int64_t first,
                                    std::vector<PreparedTile>& tiles,
                                    const std::vector<GuideTensors>& guides,
                                    c10::Device device) const {
    std::vector<ComputedTile> computed;
    std::vector<std::size_t> lit;
    for (std::size_t index = 0; index < tiles.size(); ++index) {
      computed.push_back({first + static_cast<std::int64_t>(index), {}, {}, {}});
      computed.back().owned = std::move(tiles[index].owned);
      if (tiles[index].around.rows > 0) lit.push_back(index);
    }
    if (lit.empty()) return computed;
    const AutocastScope autocast(device.type(), request_.precision);
    at::Tensor sum, mean, squares;
    for (std::size_t number = 0; number < symmetries_.size(); ++number) {
      const at::Tensor image = compute_one(network, symmetries_[number], statistics_[number], tiles,
                                           guides, lit, device);
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

  FinishedTile finish(ComputedTile& tile) const {
    const Window owner = input_.plan()[tile.index].owner;
    FinishedTile finished;
    finished.record.index = tile.index;
    if (!tile.image.defined()) return finished;
    at::Tensor image = preprocessor_.restore(tile.image);
    const at::Tensor coarse = view_of(tile.owned.values);
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
    const std::int64_t scale = geometry_.scale;
    for (std::int64_t row = 0; row < fine.rows; ++row) {
      const std::uint8_t* seen = tile.owned.valid.data() + row / scale * owner.columns;
      for (std::int64_t cell = 0; cell < owner.columns; ++cell) {
        if (seen[cell] == 0) continue;
        const std::int64_t first = row * fine.columns + cell * scale;
        for (std::int64_t index = first; index < first + scale; ++index) {
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
    }
    return finished;
  }

 private:
  std::pair<at::Tensor, GuideTensors> inputs(const Symmetry& symmetry, const TileInput::View& view,
                                             const PreparedTile& tile, const GuideTensors& guides,
                                             c10::Device device) const {
    const std::int64_t scale = geometry_.scale;
    const Window& around = tile.around;
    GuideTensors parts;
    for (const auto& [name, guide] : guides) {
      const at::Tensor part =
          cut(guide, view.source.refined(scale), around.row * scale, around.column * scale);
      parts[name] = (symmetries_.size() == 1 ? part : symmetry.apply(part)).to(device);
    }
    const at::Tensor image = cut(tile.normalised, view.source, around.row, around.column);
    return {symmetry.apply(image).to(device), std::move(parts)};
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
                         const ImageStatistics& statistics, const std::vector<PreparedTile>& tiles,
                         const std::vector<GuideTensors>& all_guides,
                         const std::vector<std::size_t>& lit, c10::Device device) const {
    std::vector<at::Tensor> images;
    std::map<std::string, std::vector<at::Tensor>> guides;
    std::vector<ImageStatistics> moved;
    Part owned;
    for (const std::size_t index : lit) {
      const PreparedTile& tile = tiles[index];
      const TileInput::View view = input_.view_of_tile(symmetry, tile.tile.owner);
      auto [image, parts] = inputs(symmetry, view, tile, all_guides[index], device);
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
  const TileInput input_;
  const TileGeometry& geometry_;
  const std::vector<Symmetry>& symmetries_;
  std::vector<ImageStatistics> statistics_;  // one for each symmetry
};

}  // namespace deeplight::detail
