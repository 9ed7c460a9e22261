// What tiles are read from: a raster's windows with their halo, prepared for the network.
//
// The low resolution is read window by window like the guides, so that nothing here grows with the
// raster. Windows count low-resolution pixels; GDAL's readers lock themselves.
#pragma once

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/infer/guide_windows_inl.hpp"
#include "deeplight/infer/predict.hpp"
#include "deeplight/infer/predict_job_inl.hpp"
#include "deeplight/infer/self_ensemble.hpp"
#include "deeplight/raster/tile_plan.hpp"

namespace deeplight::detail {

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

/// The part `window` of a block of one band that covers `around`.
inline Block cut(const Block& block, const Window& window, const Window& around) {
  Block part{make_array<ValueArray>(1, window.rows, window.columns),
             make_array<ValidArray>(1, window.rows, window.columns)};
  for (std::int64_t row = 0; row < window.rows; ++row) {
    const std::int64_t from =
        (window.row - around.row + row) * around.columns + window.column - around.column;
    std::copy_n(block.values.data() + from, window.columns,
                part.values.data() + row * window.columns);
    std::copy_n(block.valid.data() + from, window.columns,
                part.valid.data() + row * window.columns);
  }
  return part;
}

inline bool has_light(const Block& block) {
  return std::any_of(block.valid.begin(), block.valid.end(),
                     [](std::uint8_t seen) { return seen != 0; });
}

/// Consecutive tiles of equal shape that go through the network together.
struct TileGroup {
  std::int64_t first = 0;
  std::int64_t count = 1;
};

/// The low resolution of a tile.
struct PreparedTile {
  Tile tile;
  Window around;          // what `normalised` covers; empty when there is nothing to compute
  at::Tensor normalised;  // [1, 1, rows, columns]
  Block owned;            // the owner's pixels, physical
};

class TileInput {
 public:
  TileInput(const Network& network, const Preprocessor& preprocessor, const PredictRequest& request,
            const PredictJob& job)
      : network_(network),
        preprocessor_(preprocessor),
        request_(request),
        job_(job),
        geometry_(geometry_of(network, preprocessor, request, job)),
        plan_(geometry_.plan()),
        symmetries_(symmetries(request.self_ensemble || request.uncertainty)) {}

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
  const std::vector<Symmetry>& symmetries_used() const { return symmetries_; }

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

  /// Each symmetry aligns its own read window to the network's multiple: read what covers all.
  Window around_of(const Tile& tile) const {
    return symmetries_.size() == 1
               ? tile.read
               : TilePlan::read_window(tile.owner, geometry_.rows, geometry_.columns,
                                       geometry_.halo + geometry_.multiple, 1);
  }

  PreparedTile prepare(const Tile& tile) const {
    PreparedTile prepared{tile, {}, {}, {}};
    const Window around = around_of(tile);
    Block block = job_.low_resolution.read(around);
    prepared.owned = cut(block, tile.owner, around);
    if (!has_light(prepared.owned)) return prepared;
    prepared.around = around;
    prepared.normalised = normalised(block);
    return prepared;
  }

  /// In the layout that the network on such a device takes as it is.
  GuideWindows guide_windows(c10::DeviceType device) const {
    const bool turned = symmetries_.size() > 1;  // turning an image copies it anyway
    return {preprocessor_, job_.guides,
            turned ? at::MemoryFormat::Contiguous : network_.guide_layout(device)};
  }

  /// The normalised low resolution after a symmetry, read as its rows are asked for.
  ImageRows rows_after(const Symmetry& symmetry, c10::Device device) const {
    const auto [rows, columns] = symmetry.size(geometry_.rows, geometry_.columns);
    return {rows, columns,
            [this, symmetry, device, columns = columns](std::int64_t first, std::int64_t count) {
              const Window window =
                  symmetry.undo({first, 0, count, columns}, geometry_.rows, geometry_.columns);
              at::Tensor image =
                  at::empty({1, 1, window.rows, window.columns}, at::dtype(at::kFloat));
              for_each_part(window, [&](const Window& part) {
                Block block = job_.low_resolution.read(part);
                cut(image, part, window.row, window.column).copy_(normalised(block));
              });
              return symmetry.apply(image).to(device);
            }};
  }

  /// The tile with the largest share of valid low-resolution pixels; of several, the one whose
  /// centre is nearest to the raster's, then the first.
  Tile representative_tile() const {
    double best_share = -1.0, best_distance = 0.0;
    Tile best = plan_[0];
    for (std::int64_t index = 0; index < plan_.size(); ++index) {
      const Window owner = plan_[index].owner;
      const Block block = job_.low_resolution.read(owner);
      const double share =
          static_cast<double>(std::count_if(block.valid.begin(), block.valid.end(),
                                            [](std::uint8_t seen) { return seen != 0; })) /
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

 private:
  at::Tensor normalised(Block& block) const {
    return preprocessor_.low_resolution(view_of(block.values), view_of(block.valid));
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

  const Network& network_;
  const Preprocessor& preprocessor_;
  const PredictRequest& request_;
  const PredictJob& job_;
  TileGeometry geometry_;
  TilePlan plan_;
  std::vector<Symmetry> symmetries_;
};

}  // namespace deeplight::detail
