// Fresh tensors for results, on large pages where they are large: see core/large_pages.hpp.
#pragma once

#include <ATen/core/Tensor.h>

#include "deeplight/core/large_pages.hpp"

namespace deeplight::functional::detail {

/// The same tensor. For one on the CPU that was just made and is about to be written whole.
inline at::Tensor on_large_pages(at::Tensor fresh) {
  if (fresh.device().is_cpu()) prefer_large_pages(fresh.mutable_data_ptr(), fresh.nbytes());
  return fresh;
}

}  // namespace deeplight::functional::detail
