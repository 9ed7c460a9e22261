// Tensors as the kernels' images.
#pragma once

#include <ATen/core/Tensor.h>

#include "deeplight/kernels/image_view.hpp"

namespace deeplight::functional::detail {

/// A tensor [B, C, H, W] of any layout.
template <class T>
kernels::ImageView<T> image_view(const at::Tensor& image) {
  return {image.mutable_data_ptr<T>(), image.stride(0), image.stride(1), image.stride(2),
          image.stride(3)};
}

template <class T>
kernels::ImageView<const T> const_image_view(const at::Tensor& image) {
  return {image.const_data_ptr<T>(), image.stride(0), image.stride(1), image.stride(2),
          image.stride(3)};
}

}  // namespace deeplight::functional::detail
