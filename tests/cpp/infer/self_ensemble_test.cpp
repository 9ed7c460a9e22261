// Symmetries act on tensors and windows alike, and undo themselves.
#include "deeplight/infer/self_ensemble.hpp"

#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include <set>
#include <vector>

using namespace deeplight;

TEST_CASE("symmetries: eight different ones, identity first, each undone") {
  const at::Tensor image = at::arange(15).view({1, 1, 3, 5});
  std::set<std::vector<std::int64_t>> seen;
  CHECK(symmetries(false).size() == 1);
  CHECK(at::equal(symmetries(true).front().apply(image), image));
  for (const Symmetry& symmetry : symmetries(true)) {
    const at::Tensor turned = symmetry.apply(image);
    const auto [rows, columns] = symmetry.size(3, 5);
    CHECK(turned.size(2) == rows);
    CHECK(turned.size(3) == columns);
    CHECK(at::equal(symmetry.undo(turned), image));
    const at::Tensor flat = turned.reshape({-1}).contiguous();
    std::vector<std::int64_t> content(flat.const_data_ptr<std::int64_t>(),
                                      flat.const_data_ptr<std::int64_t>() + 15);
    content.push_back(rows);
    seen.insert(content);

    const Window window{1, 2, 2, 3};
    const Window there = symmetry.apply(window, 3, 5);
    CHECK(symmetry.undo(there, 3, 5) == window);
    const auto part = [](const at::Tensor& tensor, const Window& w) {
      return tensor.narrow(2, w.row, w.rows).narrow(3, w.column, w.columns);
    };
    CHECK(at::equal(part(turned, there), symmetry.apply(part(image, window))));
  }
  CHECK(seen.size() == 8);
}
