#include "deeplight/nn/checkpoint.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <doctest/doctest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/nn/modules/batchnorm.h>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/cmfm.hpp"

using deeplight::InvalidArgument;
using deeplight::nn::checkpoint;
using deeplight::nn::CheckpointScope;
using deeplight::nn::CMFM;
using deeplight::nn::Tensors;

namespace {

Tensors gradients_of(const at::Tensor& loss, const Tensors& leaves) {
  return torch::autograd::grad({loss}, leaves, {}, std::nullopt, false, true);
}

struct Case {
  CMFM part{deeplight::nn::CMFMOptions{.width = 4, .blocks = 1}};
  at::Tensor a = at::rand({2, 4, 8, 8}), b = at::rand({2, 4, 8, 8}).requires_grad_(true);
  int runs = 0;

  at::Tensor forward(bool on) {
    const CheckpointScope scope(on);
    const auto segment = [this](const Tensors& in) {
      ++runs;
      return Tensors{part(in[0], in[1])};
    };
    return checkpoint(segment, {a, b}, {part.ptr()}).front();
  }
};

}  // namespace

TEST_CASE("a checkpointed segment gives value and gradients of the plain one") {
  Case it;
  Tensors leaves = it.part->parameters();
  leaves.push_back(it.b);
  const at::Tensor weighting = at::rand({2, 4, 8, 8});
  const at::Tensor plain = it.forward(false), kept = it.forward(true);
  CHECK(it.runs == 2);
  CHECK(at::equal(plain, kept));
  const Tensors expected = gradients_of((plain * weighting).sum(), leaves);
  CHECK(it.runs == 2);
  const Tensors found = gradients_of((kept * weighting).sum(), leaves);
  CHECK(it.runs == 3);
  for (std::size_t i = 0; i < leaves.size(); ++i) CHECK(at::equal(expected[i], found[i]));
}

TEST_CASE("the graph holds the inputs alone, and keeps the parts alive") {
  at::Tensor image = at::rand({1, 4, 8, 8}).requires_grad_(true), out;
  std::weak_ptr<deeplight::nn::CMFMImpl> part;
  {
    CMFM made({.width = 4, .blocks = 1});
    part = made.ptr();
    const CheckpointScope scope(true);
    out = deeplight::nn::checkpoint_part(made.ptr(), image, image);
  }
  CHECK_FALSE(part.expired());
  CHECK(out.grad_fn()->next_edges().size() == 2 + part.lock()->parameters().size());
  CHECK(gradients_of(out.sum(), {image}).front().defined());
  out = at::Tensor();
  CHECK(part.expired());
}

TEST_CASE("what is not asked for is not computed, frozen parameters stay without a gradient") {
  Case it;
  const Tensors parameters = it.part->parameters();
  for (const at::Tensor& parameter : parameters) parameter.requires_grad_(false);
  parameters.front().requires_grad_(true);
  const at::Tensor out = it.forward(true).sum();
  const Tensors found = torch::autograd::grad({out}, {parameters.front()}, {}, true, false);
  CHECK(found.front().defined());
  torch::autograd::backward({out});
  CHECK(it.b.grad().defined());
  CHECK(parameters.front().grad().defined());
  CHECK_FALSE(parameters.back().grad().defined());
  CHECK(it.runs == 3);
}

TEST_CASE("several outputs, of which the loss reads some") {
  const CheckpointScope scope(true);
  const at::Tensor x = at::rand({3}).requires_grad_(true);
  const auto segment = [](const Tensors& in) {
    return Tensors{in[0] * in[0], in[0].sin(), in[0].detach() * 2};
  };
  const Tensors out = checkpoint(segment, {x}, {});
  const Tensors found = gradients_of(out[0].sum() + out[2].sum(), {x});
  CHECK(at::equal(found.front(), 2 * x.detach()));
}

TEST_CASE("a second derivative and changed parameters are refused") {
  Case it;
  const at::Tensor out = it.forward(true).sum();
  CHECK_THROWS_WITH_AS(torch::autograd::grad({out}, {it.b}, {}, true, /*create_graph=*/true),
                       doctest::Contains("second derivative"), InvalidArgument);
  {
    const at::NoGradGuard no_grad;
    it.part->parameters().front().mul_(2);
  }
  CHECK_THROWS_WITH_AS(torch::autograd::grad({out}, {it.b}), doctest::Contains("was changed"),
                       InvalidArgument);
}

TEST_CASE("where a second run would not be right, there is none") {
  Case it;
  SUBCASE("no gradients") {
    const at::NoGradGuard no_grad;
    CHECK_FALSE(it.forward(true).requires_grad());
  }
  SUBCASE("a hook on a parameter") {
    int calls = 0;
    it.part->parameters().front().register_hook([&](const at::Tensor&) { ++calls; });
    torch::autograd::backward({it.forward(true).sum()});
    CHECK(calls == 1);
    CHECK(it.runs == 1);
  }
  SUBCASE("running statistics") {
    torch::nn::BatchNorm2d norm(4);
    const CheckpointScope scope(true);
    const auto out = deeplight::nn::checkpoint_part(norm.ptr(), it.b);
    torch::autograd::backward({out.sum()});
    CHECK(norm->num_batches_tracked.item<std::int64_t>() == 1);
  }
  SUBCASE("a part on the stack") {
    deeplight::nn::CMFMImpl part({.width = 4, .blocks = 1});
    const CheckpointScope scope(true);
    int runs = 0;
    const auto segment = [&](const Tensors& in) {
      ++runs;
      return Tensors{part.forward(in[0], in[0])};
    };
    torch::autograd::backward(
        {checkpoint(segment, {it.b}, {part.weak_from_this().lock()})[0].sum()});
    CHECK(runs == 1);
  }
}

TEST_CASE("scopes nest, and none is left open by an error") {
  CHECK_FALSE(deeplight::nn::checkpointing());
  {
    const CheckpointScope outer(true);
    {
      const CheckpointScope inner(false);
      CHECK_FALSE(deeplight::nn::checkpointing());
    }
    CHECK(deeplight::nn::checkpointing());
    const at::Tensor x = at::rand({1}).requires_grad_(true);
    const auto failing = [](const Tensors&) -> Tensors { throw InvalidArgument("no"); };
    CHECK_THROWS_AS(checkpoint(failing, {x}, {}), InvalidArgument);
    CHECK(deeplight::nn::checkpointing());
  }
  CHECK_FALSE(deeplight::nn::checkpointing());
}

TEST_CASE("autocast of the forward pass holds when a segment runs again, whatever is on by then") {
  Case it;
  const bool cached = at::autocast::is_autocast_cache_enabled();
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const at::Tensor plain = it.forward(false), kept = it.forward(true);
  CHECK(at::autocast::is_autocast_cache_enabled() == cached);
  CHECK((kept.scalar_type() == at::kBFloat16));
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  Tensors leaves = it.part->parameters();
  leaves.push_back(it.b);
  const Tensors expected = gradients_of(plain.sum(), leaves);
  const Tensors found = gradients_of(kept.sum(), leaves);
  for (std::size_t i = 0; i < leaves.size(); ++i) CHECK(at::equal(expected[i], found[i]));
  CHECK_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}
