#include <ATen/Functions.h>
#include <doctest/doctest.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/functional/depthwise_conv.hpp"
#include "deeplight/functional/dynamic_conv.hpp"
#include "deeplight/functional/large_selective_kernel.hpp"

using namespace deeplight::functional;

namespace {

at::Tensor leaf(at::IntArrayRef sizes) {
  return at::randn(sizes, at::kDouble).requires_grad_();
}

/// Results and gradients of both functions agree.
template <class F, class G>
void check_same(const std::vector<at::Tensor>& leaves, const F& function, const G& reference) {
  std::vector<at::Tensor> results[2];
  const auto collect = [&](const at::Tensor& result, std::vector<at::Tensor>& all) {
    all.push_back(result.detach());
    result.pow(2).sum().backward();
    for (const auto& tensor : leaves) {
      all.push_back(tensor.grad().clone());
      tensor.grad().zero_();
    }
  };
  collect(function(), results[0]);
  collect(reference(), results[1]);
  for (std::size_t i = 0; i < results[0].size(); ++i)
    CHECK(at::allclose(results[0][i], results[1][i], 1e-9, 1e-9));
}

}  // namespace

TEST_CASE("depthwise convolution equals its reference, forward and backward") {
  at::manual_seed(1);
  const auto x = leaf({2, 9, 12, 10}), w = leaf({9, 1, 7, 3}), b = leaf({9});
  check_same(
      {x, w, b}, [&] { return depthwise_conv2d(x, w, b, {9, 2}, {3, 2}); },
      [&] { return depthwise_conv2d_reference(x, w, b, {9, 2}, {3, 2}); });
}

TEST_CASE("dynamic convolution equals its reference, forward and backward") {
  at::manual_seed(2);
  const auto x = leaf({3, 2, 8, 9}), k = leaf({3, 4, 2, 3, 5});
  check_same(
      {x, k}, [&] { return dynamic_conv2d(x, k, {1, 2}); },
      [&] { return dynamic_conv2d_reference(x, k, {1, 2}); });
}

TEST_CASE("the large selective kernel equals its reference, forward and backward") {
  at::manual_seed(3);
  const auto x = leaf({2, 4, 9, 11}), guide = leaf({2, 3, 9, 11});
  const LargeSelectiveKernelWeights weights{.first = leaf({4, 1, 5, 5}),
                                            .first_bias = leaf({4}),
                                            .second = leaf({4, 1, 7, 7}),
                                            .first_squeeze = leaf({2, 4, 1, 1}),
                                            .second_squeeze = leaf({2, 4, 1, 1}),
                                            .selection = leaf({2, 2, 2, 3, 3}),
                                            .expand = leaf({3, 2, 1, 1}),
                                            .expand_bias = leaf({3})};
  check_same(
      {x, guide, weights.first, *weights.first_bias, weights.second, weights.selection,
       weights.expand, *weights.expand_bias},
      [&] { return large_selective_kernel(x, guide, weights); },
      [&] { return large_selective_kernel_reference(x, guide, weights); });
}

TEST_CASE("shapes that do not fit are refused") {
  const auto x = at::zeros({1, 4, 5, 5});
  CHECK_THROWS_AS(depthwise_conv2d(x, at::zeros({3, 1, 3, 3})), deeplight::InvalidArgument);
  CHECK_THROWS_AS(dynamic_conv2d(x, at::zeros({1, 2, 3, 3, 3})), deeplight::InvalidArgument);
}
