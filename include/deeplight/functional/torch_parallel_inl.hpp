// Definitions of torch_parallel.hpp.
//
// `at::parallel_for` is an inline template, and a plain loop in sources that are compiled without
// OpenMP, as PyTorch's extensions are. Threads of our own would share the cores with PyTorch's,
// which spin for milliseconds after each of its loops: on two cores that halves their speed. The
// loop of a TensorIterator is compiled inside of PyTorch's library and runs on its threads.
#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>

#include "deeplight/functional/torch_parallel.hpp"

namespace deeplight::functional::detail {

DEEPLIGHT_INLINE std::int64_t threads_at_hand() {
  return at::in_parallel_region() ? 1 : at::get_num_threads();
}

DEEPLIGHT_INLINE void run_on_torch_threads(std::int64_t begin, std::int64_t end,
                                           ParallelFor::Body body, const void* context) {
  // A byte for each item: the address that the loop is given tells which it is. Nothing is read.
  const at::TensorBase bytes = at::detail::empty_cpu({end - begin}, at::dtype(at::kByte));
  const char* const start = static_cast<const char*>(bytes.const_data_ptr());
  auto iterator = at::TensorIteratorConfig()
                      .set_check_mem_overlap(false)
                      .check_all_same_dtype(false)
                      .resize_outputs(false)
                      .add_borrowed_output(bytes)
                      .build();
  iterator.for_each(
      [&](char** data, const std::int64_t*, std::int64_t count, std::int64_t rows) {
        const std::int64_t first = begin + (data[0] - start);
        body(context, first, first + count * rows);  // of one dimension: there is one row
      },
      1);
}

}  // namespace deeplight::functional::detail
