// Image planes as the window kernels read them: any element type, any strides, rows as float64.
//
// A plane is [height, width]. Rows are converted one at a time into a small buffer, so that no
// kernel needs a full-size copy in another type.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace deeplight::kernels {

/// Runs `body(begin, end)` over [begin, end) in one piece; the stand-in for a thread pool.
struct Sequential {
  template <class Body>
  void operator()(std::int64_t begin, std::int64_t end, const Body& body) const {
    if (end > begin) body(begin, end);
  }
};

/// A plane of real numbers, with an optional mirrored border (without repeating the edge).
class Plane {
 public:
  /// @param data  element (0, 0); strides count elements and may be zero or negative
  /// @param border  pixels mirrored on every side; less than either side
  template <class T>
  static Plane of(const T* data, std::int64_t height, std::int64_t width, std::int64_t row_stride,
                  std::int64_t column_stride, std::int64_t border = 0) {
    Plane plane;
    plane.data_ = data;
    plane.height_ = height;
    plane.width_ = width;
    plane.row_stride_ = row_stride;
    plane.column_stride_ = column_stride;
    plane.border_ = border;
    plane.load_ = [](const void* source, std::int64_t offset, std::int64_t stride,
                     std::int64_t count, double* out) {
      const T* from = static_cast<const T*>(source) + offset;
      if (stride == 1) {
        for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<double>(from[i]);
      } else {
        for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<double>(from[i * stride]);
      }
    };
    return plane;
  }

  std::int64_t height() const { return height_ + 2 * border_; }
  std::int64_t width() const { return width_ + 2 * border_; }

  /// Columns [column, column + count) of a row, the border included, into `out`.
  void read(std::int64_t row, std::int64_t column, std::int64_t count, double* out) const {
    const std::int64_t base = mirrored(row - border_, height_) * row_stride_;
    std::int64_t from = column - border_;
    const std::int64_t end = from + count;
    for (; from < std::min<std::int64_t>(0, end); ++from) read_one(base, from, out++);
    const std::int64_t inside = std::min(end, width_) - from;
    if (inside > 0) {
      load_(data_, base + from * column_stride_, column_stride_, inside, out);
      from += inside;
      out += inside;
    }
    for (; from < end; ++from) read_one(base, from, out++);
  }

 private:
  static std::int64_t mirrored(std::int64_t i, std::int64_t size) {
    if (i < 0) return -i;
    return i < size ? i : 2 * (size - 1) - i;
  }

  void read_one(std::int64_t base, std::int64_t column, double* out) const {
    load_(data_, base + mirrored(column, width_) * column_stride_, 1, 1, out);
  }

  using Load = void (*)(const void*, std::int64_t, std::int64_t, std::int64_t, double*);

  const void* data_ = nullptr;
  Load load_ = nullptr;
  std::int64_t height_ = 0, width_ = 0, row_stride_ = 0, column_stride_ = 0, border_ = 0;
};

/// A boolean plane with the same border rule; without data every element is true.
struct MaskPlane {
  const bool* data = nullptr;
  std::int64_t height = 0, width = 0, row_stride = 0, column_stride = 0, border = 0;

  explicit operator bool() const { return data != nullptr; }

  bool at(std::int64_t row, std::int64_t column) const {
    const auto mirrored = [](std::int64_t i, std::int64_t size) {
      if (i < 0) return -i;
      return i < size ? i : 2 * (size - 1) - i;
    };
    return data[mirrored(row - border, height) * row_stride +
                mirrored(column - border, width) * column_stride];
  }

  /// The row's first element where columns may be indexed without a border; null with one.
  const bool* row(std::int64_t row_index) const {
    return border == 0 ? data + row_index * row_stride : nullptr;
  }
};

/// A sum that keeps what rounding takes away (two-sum), so that the order in which parts of an
/// image are added does not show in the result.
class ExactSum {
 public:
  void add(double value) {
    const double sum = high_ + value;
    const double part = sum - high_;
    low_ += (high_ - (sum - part)) + (value - part);
    high_ = sum;
  }

  void add(const ExactSum& other) {
    add(other.high_);
    low_ += other.low_;
  }

  /// NaN and infinities come through as they would in a plain sum.
  double value() const { return std::isfinite(low_) ? high_ + low_ : high_; }

  double high() const { return high_; }
  double low() const { return low_; }
  static ExactSum restored(double high, double low) {
    ExactSum sum;
    sum.high_ = high;
    sum.low_ = low;
    return sum;
  }

 private:
  double high_ = 0.0, low_ = 0.0;
};

/// Sum with four lanes: vectorises without licence to reorder, the same on every machine.
inline double lane_sum(const double* values, std::int64_t count) {
  double lanes[4] = {0, 0, 0, 0};
  std::int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (int lane = 0; lane < 4; ++lane) lanes[lane] += values[i + lane];
  }
  for (; i < count; ++i) lanes[i % 4] += values[i];
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

/// values[i] = sqrt(values[i]). std::sqrt may set errno, which keeps a compiler from vectorising
/// it.
inline void square_roots(double* values, std::int64_t count) {
  std::int64_t i = 0;
#ifdef __SSE2__
  for (; i + 2 <= count; i += 2) _mm_storeu_pd(values + i, _mm_sqrt_pd(_mm_loadu_pd(values + i)));
#endif
  for (; i < count; ++i) values[i] = std::sqrt(values[i]);
}

}  // namespace deeplight::kernels
