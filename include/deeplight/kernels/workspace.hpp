// Memory of kernels: scratch of one thread, and blocks of an image with a border of zeros. No
// torch.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>

#include "deeplight/core/large_pages.hpp"
#include "deeplight/kernels/simd.hpp"

namespace deeplight::kernels {

inline namespace DEEPLIGHT_SIMD_TAG {

/// Memory of one thread, aligned to a cache line; grows, never shrinks, holds garbage.
template <class T>
class Workspace {
 public:
  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() { ::operator delete(data_, std::align_val_t{64}); }

  T* of(std::int64_t size) {
    if (size > size_) {
      ::operator delete(data_, std::align_val_t{64});
      data_ = nullptr, size_ = 0;
      data_ = static_cast<T*>(
          ::operator new(static_cast<std::size_t>(size) * sizeof(T), std::align_val_t{64}));
      prefer_large_pages(data_, static_cast<std::size_t>(size) * sizeof(T));
      size_ = size;
    }
    return data_;
  }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

/// Copies [top, top + rows) x [left, left + columns) of a plane into `out`; zeros outside of it.
template <class T>
void copy_padded(const T* plane, std::int64_t stride, std::int64_t height, std::int64_t width,
                 std::int64_t top, std::int64_t left, std::int64_t rows, std::int64_t columns,
                 T* out, std::int64_t pitch) {
  const std::int64_t first = left < 0 ? (-left < columns ? -left : columns) : 0;
  std::int64_t last = width - left < columns ? width - left : columns;
  if (last < first) last = first;
  for (std::int64_t r = 0; r < rows; ++r, out += pitch) {
    const std::int64_t y = top + r;
    if (y < 0 || y >= height) {
      std::memset(out, 0, static_cast<std::size_t>(columns) * sizeof(T));
      continue;
    }
    std::memset(out, 0, static_cast<std::size_t>(first) * sizeof(T));
    if (last > first)
      std::memcpy(out + first, plane + y * stride + left + first,
                  static_cast<std::size_t>(last - first) * sizeof(T));
    std::memset(out + last, 0, static_cast<std::size_t>(columns - last) * sizeof(T));
  }
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
