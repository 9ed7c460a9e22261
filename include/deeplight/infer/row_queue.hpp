// Rows of a comparison that wait until a score over aligned blocks can use them.
//
// Blocks of rows arrive in any height; PIQE wants whole blocks of 16 rows with 3 more around them,
// NIQE blocks of its model's size with 10, spectral errors windows of 64 at every 32nd row. A queue
// keeps what is not used up: a few blocks of rows, whatever the raster's height.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <cstdint>
#include <functional>

namespace deeplight::detail {

/// Rows of the full width, each [h, W].
struct QueuedRows {
  at::Tensor prediction, truth, valid, lit;

  std::int64_t size() const { return valid.defined() ? valid.size(0) : 0; }
  QueuedRows part(std::int64_t first, std::int64_t count) const {
    const auto cut = [&](const at::Tensor& rows) { return rows.narrow(0, first, count); };
    return {cut(prediction), cut(truth), cut(valid), cut(lit)};
  }
  QueuedRows copy() const {
    return {prediction.clone(), truth.clone(), valid.clone(), lit.clone()};
  }
  void append(const QueuedRows& more) {
    if (size() == 0) {
      *this = more;
      return;
    }
    prediction = at::cat({prediction, more.prediction.to(prediction.scalar_type())}, 0);
    truth = at::cat({truth, more.truth.to(truth.scalar_type())}, 0);
    valid = at::cat({valid, more.valid}, 0);
    lit = at::cat({lit, more.lit}, 0);
  }
};

/// Whole blocks of `block` rows with `halo` rows above and below where the image goes on.
class BlockQueue {
 public:
  /// Rows of the region with its halo, and how many rows of it are above and below the region.
  using Visit = std::function<void(const QueuedRows& rows, std::int64_t top, std::int64_t bottom)>;

  /// @param wait     rows below a block before it is handed on, `halo` at least
  /// @param cut_end  rows at the image's end that fill no block are left out, not handed on
  BlockQueue(std::int64_t block, std::int64_t halo, std::int64_t wait, bool cut_end)
      : block_(block), halo_(halo), wait_(wait), cut_end_(cut_end) {}

  /// Adds rows and hands on every block that can be judged; with `last` all that are left.
  void push(const QueuedRows& fresh, bool last, const Visit& visit) {
    rows_.append(fresh);
    const std::int64_t there = rows_.size() - top_;
    std::int64_t ready = std::max<std::int64_t>(there - wait_, 0) / block_ * block_;
    if (last) ready = cut_end_ ? there / block_ * block_ : there;
    const std::int64_t bottom = last ? 0 : halo_;
    if (ready > 0) {
      visit(rows_.part(0, top_ + ready + bottom), top_, bottom);
      const std::int64_t used = top_ + ready;
      const std::int64_t kept = last ? 0 : std::min(halo_, used);
      rows_ = rows_.part(used - kept, rows_.size() - used + kept);
      top_ = kept;
    }
    // A view would keep the whole block alive.
    rows_ = rows_.copy();
  }

 private:
  std::int64_t block_, halo_, wait_;
  bool cut_end_;
  std::int64_t top_ = 0;  // rows in the queue above the region to come
  QueuedRows rows_;
};

}  // namespace deeplight::detail
