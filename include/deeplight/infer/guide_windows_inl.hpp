// Guides under one tile after another, prepared for the network: what a window shares with the one
// before it is taken over, so that of a row of tiles each pixel is read and prepared once.
//
// A halo is wider than a small tile: without it, each pixel would be prepared five times and more.
// A prepared pixel depends on where it lies alone, never on the window. Windows count
// low-resolution pixels, rectangles those of a guide.
#pragma once

#include <ATen/Functions.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "deeplight/data/preprocessor.hpp"
#include "deeplight/data/standardise.hpp"
#include "deeplight/functional/on_large_pages.hpp"
#include "deeplight/functional/torch_parallel.hpp"
#include "deeplight/raster/raster_reader.hpp"

namespace deeplight::detail {

/// What is left of `whole` without `inner`, which lies in it.
inline std::array<Window, 4> around(const Window& whole, const Window& inner) {
  const std::int64_t below = inner.row + inner.rows, beside = inner.column + inner.columns;
  return {{{whole.row, whole.column, inner.row - whole.row, whole.columns},
           {inner.row, whole.column, inner.rows, inner.column - whole.column},
           {inner.row, beside, inner.rows, whole.column + whole.columns - beside},
           {below, whole.column, whole.row + whole.rows - below, whole.columns}}};
}

/// Parts of a rectangle of about `wide` columns and `values` values or less. They end where blocks
/// of the file end, and follow each other down a column of blocks, so that each block is decoded
/// once.
template <class Visit>
void for_each_chunk(const Window& rectangle, const RasterInfo& info, std::int64_t wide,
                    std::int64_t values, const Visit& visit) {
  const std::int64_t block_rows = std::max<std::int64_t>(info.block_rows, 1);
  const std::int64_t block_columns = std::max<std::int64_t>(info.block_columns, 1);
  const std::int64_t width = (wide + block_columns - 1) / block_columns * block_columns;
  const std::int64_t bottom = rectangle.row + rectangle.rows;
  const std::int64_t right = rectangle.column + rectangle.columns;
  for (std::int64_t column = rectangle.column; column < right;) {
    const std::int64_t end = std::min((column / width + 1) * width, right);
    const auto bands = static_cast<std::int64_t>(info.bands.size());
    std::int64_t height = std::max<std::int64_t>(values / (bands * (end - column)), 1);
    if (height > block_rows) height -= height % block_rows;
    for (std::int64_t row = rectangle.row; row < bottom;) {
      const std::int64_t last = std::min((row / height + 1) * height, bottom);
      visit(Window{row, column, last - row, end - column});
      row = last;
    }
    column = end;
  }
}

/// The part of a window's tensor [1, C, H, W] that covers `part`.
inline at::Tensor part_of(const at::Tensor& guide, const Window& window, const Window& part) {
  return guide.narrow(2, part.row - window.row, part.rows)
      .narrow(3, part.column - window.column, part.columns);
}

/// Copies a view [1, C, H, W] of the same layout: whole rows where they lie together.
inline void copy_rows(const at::Tensor& from, const at::Tensor& to) {
  const bool together = to.size(1) == 1 || to.stride(1) == 1;
  const std::int64_t planes = together ? 1 : to.size(1);
  const std::int64_t length = together ? to.size(1) * to.size(3) : to.size(3);
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    for (std::int64_t row = 0; row < to.size(2); ++row) {
      std::memcpy(to.mutable_data_ptr<float>() + plane * to.stride(1) + row * to.stride(2),
                  from.const_data_ptr<float>() + plane * from.stride(1) + row * from.stride(2),
                  static_cast<std::size_t>(length) * sizeof(float));
    }
  }
}

/// Not for several threads at once.
class GuideWindows {
 public:
  /// @param layout  of the tensors
  GuideWindows(const Preprocessor& preprocessor,
               const std::vector<std::pair<std::string, RasterReader>>& guides,
               at::MemoryFormat layout)
      : preprocessor_(preprocessor), guides_(guides), layout_(layout) {}

  /// Guides over a window, each [1, channels, r * rows, r * columns].
  GuideTensors operator()(const Window& window) {
    if (guides_.empty() || window == window_) return prepared_;
    const Window fine = window.refined(preprocessor_.scale());
    const Window before = window_.refined(preprocessor_.scale());
    GuideTensors all;
    for (const auto& [name, reader] : guides_) {
      const at::Tensor known = window_.rows > 0 ? prepared_.at(name) : at::Tensor();
      all[name] = prepare(name, reader, fine, known, before);
    }
    window_ = window;
    prepared_ = all;
    return all;
  }

 private:
  at::Tensor prepare(const std::string& name, const RasterReader& reader, const Window& window,
                     const at::Tensor& known, const Window& before) {
    const GuideDescription& guide = preprocessor_.description(name);
    const std::size_t windows = preprocessor_.preprocessing().contrast_windows.size();
    const bool contrast = guide.contrast != GuideContrast::none;
    const auto channels = guide.bands * (contrast ? 1 + static_cast<std::int64_t>(windows) : 1);
    at::Tensor prepared = functional::detail::on_large_pages(
        at::empty({1, channels, window.rows, window.columns},
                  at::TensorOptions().dtype(at::kFloat).memory_format(layout_)));
    Window taken = known.defined() ? window.intersection(before) : Window{};
    if (taken.rows == 0 || taken.columns == 0) {
      taken = {window.row, window.column, 0, 0};
    } else {
      copy_rows(part_of(known, before, taken), part_of(prepared, window, taken));
    }
    for (const Window& rest : around(window, taken)) {
      if (rest.rows == 0 || rest.columns == 0) continue;
      if (!contrast && guide.transform == ValueTransform::linear) {
        standardise_rectangle(guide, reader, rest, part_of(prepared, window, rest));
      } else {
        prepare_rectangle(guide, reader, rest, part_of(prepared, window, rest));
      }
    }
    return prepared;
  }

  /// In pieces that stay in the cache between reading and writing.
  void standardise_rectangle(const GuideDescription& guide, const RasterReader& reader,
                             const Window& rectangle, const at::Tensor& to) {
    constexpr std::int64_t in_cache = std::int64_t{1} << 17, grain = std::int64_t{1} << 14;
    float* const first = to.mutable_data_ptr<float>();
    const std::int64_t by_band = to.stride(1), by_row = to.stride(2), by_pixel = to.stride(3);
    for_each_chunk(rectangle, reader.info(), 256, in_cache, [&](const Window& chunk) {
      reader.read(chunk, block_);
      float* const corner = first + (chunk.row - rectangle.row) * by_row +
                            (chunk.column - rectangle.column) * by_pixel;
      functional::torch_parallel_for(
          0, guide.bands * chunk.rows, grain / chunk.columns + 1,
          [&](std::int64_t start, std::int64_t end) {
            std::array<float, 256> line;
            const auto some = static_cast<std::int64_t>(line.size());
            for (std::int64_t number = start; number < end; ++number) {
              const std::int64_t row = number / guide.bands, band = number % guide.bands;
              const std::int64_t place = (band * chunk.rows + row) * chunk.columns;
              float* const target = corner + row * by_row + band * by_band;
              for (std::int64_t column = 0; column < chunk.columns; column += some) {
                const std::int64_t count = std::min(some, chunk.columns - column);
                float* const made = by_pixel == 1 ? target + column : line.data();
                standardise(block_.values.data() + place + column,
                            block_.valid.data() + place + column, count, guide,
                            static_cast<std::size_t>(band), made);
                if (by_pixel == 1) continue;
                for (std::int64_t i = 0; i < count; ++i) target[(column + i) * by_pixel] = made[i];
              }
            }
          });
    });
  }

  /// Through tensors in double precision, which need several times the memory of their values.
  void prepare_rectangle(const GuideDescription& guide, const RasterReader& reader,
                         const Window& rectangle, const at::Tensor& to) {
    constexpr std::int64_t some = std::int64_t{1} << 21;
    const Window whole{0, 0, reader.grid().rows, reader.grid().columns};
    const std::int64_t reach =
        guide.contrast == GuideContrast::none ? 0 : preprocessor_.margin() * preprocessor_.scale();
    for_each_chunk(rectangle, reader.info(), 1024, some, [&](const Window& chunk) {
      const Window wide = whole.intersection({chunk.row - reach, chunk.column - reach,
                                              chunk.rows + 2 * reach, chunk.columns + 2 * reach});
      reader.read(wide, block_);
      const auto view = [&](auto& array, at::ScalarType type) {
        return at::from_blob(array.data(), {1, guide.bands, wide.rows, wide.columns}, type);
      };
      const at::Tensor made = preprocessor_.guide(guide.name, view(block_.values, at::kFloat),
                                                  view(block_.valid, at::kByte));
      part_of(to, rectangle, chunk).copy_(part_of(made, wide, chunk));
    });
  }

  const Preprocessor& preprocessor_;
  const std::vector<std::pair<std::string, RasterReader>>& guides_;
  at::MemoryFormat layout_;
  Window window_;
  GuideTensors prepared_;
  Block block_;
};

}  // namespace deeplight::detail
