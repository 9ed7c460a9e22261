// Images of any memory layout, and the copies between layouts that convolutions need.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "deeplight/kernels/convolution_axis.hpp"
#include "deeplight/kernels/simd.hpp"
#include "deeplight/kernels/streamed_store.hpp"
#include "deeplight/kernels/transpose_cpu.hpp"

namespace deeplight::kernels {

/// An image [B, C, H, W]; steps in elements.
template <class T>
struct ImageView {
  T* data = nullptr;
  std::int64_t sample = 0, channel = 0, row = 0, column = 0;

  /// The same steps, from pixel (y, x) of sample b.
  DEEPLIGHT_ALWAYS_INLINE ImageView from(std::int64_t b, std::int64_t y, std::int64_t x) const {
    return {data + b * sample + y * row + x * column, sample, channel, row, column};
  }
};

inline namespace DEEPLIGHT_SIMD_TAG {

/// Memory of one thread, aligned to a cache line.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::int64_t size)
      : data_(static_cast<T*>(
            ::operator new(static_cast<std::size_t>(size) * sizeof(T), std::align_val_t{64}))) {}
  ~Scratch() { ::operator delete(data_, std::align_val_t{64}); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }

 private:
  T* data_;
};

/// Copies `count` pixels of one row between layouts.
/// @param streamed  past the cache, where whole lines allow it: see streamed_store.hpp
template <class T>
void copy_pixels(const ImageView<const T>& from, const ImageView<T>& to, std::int64_t channels,
                 std::int64_t count, bool streamed = false) {
  if (from.channel == 1 && to.channel == 1) {
    if (from.column == channels && to.column == channels) {
      if (streamed && copy_streamed(from.data, to.data, channels * count)) return;
      std::memcpy(to.data, from.data, static_cast<std::size_t>(channels * count) * sizeof(T));
      return;
    }
    for (std::int64_t x = 0; x < count; ++x) {
      const T* DEEPLIGHT_RESTRICT source = from.data + x * from.column;
      T* DEEPLIGHT_RESTRICT target = to.data + x * to.column;
      for (std::int64_t c = 0; c < channels; ++c) target[c] = source[c];
    }
    return;
  }
  if (from.column == 1 && to.channel == 1)
    return transpose(from.data, from.channel, to.data, to.column, channels, count, true);
  if (from.channel == 1 && to.column == 1)
    return transpose(from.data, from.column, to.data, to.channel, count, channels, false, streamed);
  constexpr std::int64_t tile = 16;
  for (std::int64_t x0 = 0; x0 < count; x0 += tile) {
    const std::int64_t x1 = x0 + tile < count ? x0 + tile : count;
    for (std::int64_t c = 0; c < channels; ++c) {
      const T* DEEPLIGHT_RESTRICT source = from.data + c * from.channel;
      T* DEEPLIGHT_RESTRICT target = to.data + c * to.channel;
      for (std::int64_t x = x0; x < x1; ++x) target[x * to.column] = source[x * from.column];
    }
  }
}

/// to += alpha * from, over `count` pixels of one row.
template <class T>
void add_pixels(const ImageView<const T>& from, T alpha, const ImageView<T>& to,
                std::int64_t channels, std::int64_t count) {
  const bool channels_last = to.channel == 1;
  const std::int64_t outer = channels_last ? count : channels;
  const std::int64_t inner = channels_last ? channels : count;
  for (std::int64_t i = 0; i < outer; ++i) {
    const T* source = from.data + i * (channels_last ? from.column : from.channel);
    T* target = to.data + i * (channels_last ? to.column : to.channel);
    const std::int64_t source_step = channels_last ? from.channel : from.column;
    const std::int64_t target_step = channels_last ? to.channel : to.column;
    for (std::int64_t j = 0; j < inner; ++j)
      target[j * target_step] += alpha * source[j * source_step];
  }
}

/// Copies rows [first, first + count) of an image to channels-last rows: columns [begin, end),
/// counted from `columns.before()` pixels to the left of the image; zero where the image ends.
template <class T>
void pack_rows(const ImageView<const T>& image, std::int64_t sample, std::int64_t channels,
               const ConvolutionAxis& rows, const ConvolutionAxis& columns, std::int64_t first,
               std::int64_t count, std::int64_t begin, std::int64_t end, T* packed) {
  const std::int64_t before = columns.before(), after = before + columns.in;
  const std::int64_t left = begin > before ? begin : before < end ? before : end;
  const std::int64_t right = end < after ? end : after > left ? after : left;
  const auto clear = [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t i = (from - begin) * channels; i < (to - begin) * channels; ++i)
      packed[i] = T(0);
  };
  for (std::int64_t r = 0; r < count; ++r, packed += (end - begin) * channels) {
    const std::int64_t y = first + r;
    if (y < 0 || y >= rows.in) {
      clear(begin, end);
      continue;
    }
    clear(begin, left);
    copy_pixels(image.from(sample, y, left - before),
                ImageView<T>{packed + (left - begin) * channels, 0, 1, 0, channels}, channels,
                right - left);
    clear(right, end);
  }
}

}  // namespace DEEPLIGHT_SIMD_TAG
}  // namespace deeplight::kernels
