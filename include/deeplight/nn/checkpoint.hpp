// Activation checkpointing: a segment of a network keeps its inputs alone between forward and
// backward and is computed again in the backward pass: less memory for one more forward pass.
//
// Segments are marked with `checkpoint`; a network opens a `CheckpointScope` around its forward.
// Source: Chen et al. 2016 (arXiv 1604.06174).
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <concepts>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "deeplight/core/config.hpp"

namespace deeplight::nn {

/// Segments in this thread are checkpointed (or not) while it lives; scopes nest.
class CheckpointScope {
 public:
  explicit CheckpointScope(bool on);
  ~CheckpointScope();
  CheckpointScope(const CheckpointScope&) = delete;
  CheckpointScope& operator=(const CheckpointScope&) = delete;

 private:
  bool before_;
};

/// Whether a scope that is on surrounds this call.
bool checkpointing();

/// Whether a segment is being computed: the first time without gradients, and again with them. What
/// is faster where no gradient is asked for, and rounds otherwise, is not for it.
bool computing_segment();

using Tensors = std::vector<at::Tensor>;
/// From inputs to outputs; all must be defined. It must read no other tensor that needs a gradient,
/// change none of them, and draw no random number: it runs twice.
using Segment = std::function<Tensors(const Tensors& inputs)>;
/// Modules that a segment runs.
using SegmentParts = std::vector<std::shared_ptr<torch::nn::Module>>;

/// Runs a segment; inside a CheckpointScope that is on, without keeping what it computes.
///
/// Gradients are those of the plain call, of the same bits where every tensor in between has at
/// most two uses. Autocast is as in the first run when the segment runs again, with its cache of
/// weights off in both runs.
///
/// The segment runs plainly where gradients are off or none is needed, and where another run of it
/// would not be seen or not be right: under tracing, dispatch modes (make_fx, FakeTensorMode),
/// functional transforms and forward-mode tangents; where a part with buffers trains (running
/// statistics would move twice); where a parameter has gradient hooks (they would run twice); and
/// where a part is not owned by a shared pointer, or null.
///
///     features = checkpoint([conv = conv_](const Tensors& in) mutable {
///                  return Tensors{at::relu(conv->forward(in[0]))};
///                }, {features}, {conv_.ptr()}).front();
///
/// @param inputs  every tensor that the segment reads, whether or not it needs a gradient
/// @param parts   kept alive until the graph is freed; their parameters receive gradients
/// @throws InvalidArgument  in the backward pass: a second derivative is asked for
///                          (create_graph), a parameter was changed since the forward pass
Tensors checkpoint(const Segment& segment, const Tensors& inputs, const SegmentParts& parts);

/// A whole part as a segment: `part->forward(inputs...)`, where it takes and gives tensors.
template <class Part, std::same_as<at::Tensor>... Inputs>
auto checkpoint_part(const std::shared_ptr<Part>& part, const Inputs&... inputs) {
  constexpr bool single = std::same_as<decltype(part->forward(inputs...)), at::Tensor>;
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    const auto run = [part](const Tensors& in) {
      if constexpr (single)
        return Tensors{part->forward(in[I]...)};
      else
        return Tensors(part->forward(in[I]...));
    };
    Tensors outputs = checkpoint(run, {inputs...}, {part});
    if constexpr (single)
      return outputs.front();
    else
      return outputs;
  }(std::index_sequence_for<Inputs...>{});
}

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/checkpoint_inl.hpp"
#endif
