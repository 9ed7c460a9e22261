// Definitions of checkpoint.hpp.
#pragma once

#include <ATen/TracerMode.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "deeplight/core/errors.hpp"
#include "deeplight/nn/checkpoint.hpp"

namespace deeplight::nn {

namespace detail {

inline thread_local bool checkpointing_here = false;
inline thread_local bool segment_here = false;

/// Autocast of every device, as it is where this is made.
class AutocastState {
 public:
  AutocastState() {
    for (std::size_t i = 0; i < states_.size(); ++i) {
      const at::DeviceType device = at::autocast::_AUTOCAST_SUPPORTED_DEVICES[i];
      states_[i] = {at::autocast::is_autocast_enabled(device),
                    at::autocast::get_autocast_dtype(device)};
    }
  }

  void apply() const {
    for (std::size_t i = 0; i < states_.size(); ++i) {
      const at::DeviceType device = at::autocast::_AUTOCAST_SUPPORTED_DEVICES[i];
      at::autocast::set_autocast_enabled(device, states_[i].first);
      at::autocast::set_autocast_dtype(device, states_[i].second);
    }
  }

 private:
  std::array<std::pair<bool, at::ScalarType>, std::size(at::autocast::_AUTOCAST_SUPPORTED_DEVICES)>
      states_;
};

/// The circumstances of one run of a segment; what was around it comes back at its end. Autocast's
/// cache is off: a cast made without gradients would serve a later use that needs them.
class SegmentRun {
 public:
  explicit SegmentRun(const AutocastState& state)
      : cached_(at::autocast::is_autocast_cache_enabled()),
        within_(std::exchange(segment_here, true)) {
    state.apply();
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~SegmentRun() {
    segment_here = within_;
    at::autocast::set_autocast_cache_enabled(cached_);
    around_.apply();
  }
  SegmentRun(const SegmentRun&) = delete;
  SegmentRun& operator=(const SegmentRun&) = delete;

 private:
  const AutocastState around_;
  const bool cached_, within_;
  const CheckpointScope plain_{false};
};

/// What the backward pass needs besides the inputs.
struct KeptSegment : torch::CustomClassHolder {
  Segment run;
  SegmentParts parts;
  Tensors parameters;  // all of the parts
  Tensors trained;     // those that need a gradient
  std::vector<std::int64_t> versions;
  AutocastState autocast;

  std::vector<std::int64_t> versions_now() const {
    std::vector<std::int64_t> now;
    for (const at::Tensor& parameter : parameters) now.push_back(parameter._version());
    return now;
  }
};

inline bool has_hooks(const at::Tensor& parameter) {
  return !torch::autograd::impl::hooks(parameter).empty();
}

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  // The trained parameters are arguments so that the graph leads to them.
  static Tensors forward(torch::autograd::AutogradContext* context,
                         const c10::intrusive_ptr<KeptSegment>& segment, at::TensorList inputs,
                         at::TensorList /*trained*/) {
    context->save_for_backward(inputs.vec());
    context->set_materialize_grads(false);
    context->saved_data["segment"] = at::IValue::make_capsule(segment);
    const SegmentRun circumstances(segment->autocast);
    return segment->run(inputs.vec());
  }

  static Tensors backward(torch::autograd::AutogradContext* context, Tensors gradients) {
    require(!at::GradMode::is_enabled(),
            "checkpointed activations have no second derivative (create_graph=True); turn "
            "checkpoint_activations off");
    const auto segment = c10::static_intrusive_pointer_cast<KeptSegment>(
        context->saved_data.at("segment").toCapsule());
    const Tensors saved = context->get_saved_variables();
    require(segment->versions == segment->versions_now(),
            "a parameter of a checkpointed segment was changed between forward and backward");
    require(std::none_of(segment->trained.begin(), segment->trained.end(), has_hooks),
            "a parameter of a checkpointed segment got a gradient hook after the forward pass; "
            "register hooks before it");

    // Of the graph's edges, the inputs come first; leaves take the place of what led to them.
    Tensors inputs, leaves;
    std::vector<std::size_t> edges;
    const auto want = [&](const at::Tensor& leaf, std::size_t edge) {
      if (!context->needs_input_grad(edge)) return;
      leaves.push_back(leaf);
      edges.push_back(edge);
    };
    for (const at::Tensor& input : saved) {
      const bool needed = input.requires_grad();
      inputs.push_back(input.detach().requires_grad_(needed));
      if (needed) want(inputs.back(), inputs.size() - 1);
    }
    for (std::size_t i = 0; i < segment->trained.size(); ++i)
      want(segment->trained[i], saved.size() + i);

    Tensors outputs, output_gradients;
    {
      const at::AutoGradMode grad(true);
      const SegmentRun circumstances(segment->autocast);
      const Tensors again = segment->run(inputs);
      for (std::size_t i = 0; i < again.size(); ++i) {
        if (!again[i].requires_grad() || !gradients[i].defined()) continue;
        outputs.push_back(again[i]);
        output_gradients.push_back(gradients[i]);
      }
    }
    Tensors result(1 + saved.size() + segment->trained.size());  // the first: of the segment itself
    if (outputs.empty() || leaves.empty()) return result;
    const Tensors found = torch::autograd::grad(outputs, leaves, output_gradients,
                                                /*retain_graph=*/std::nullopt,
                                                /*create_graph=*/false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < edges.size(); ++i) result[1 + edges[i]] = found[i];
    return result;
  }
};

/// Whether a run that nobody sees would be missed: by a tracer, a mode, a transform.
inline bool is_watched() {
  using at::DispatchKey;
  const auto included = [](DispatchKey key) {
    return c10::impl::tls_is_dispatch_key_included(key) &&
           !c10::impl::tls_is_dispatch_key_excluded(key);
  };
  return at::tracer::impl::is_dispatch_enabled() ||
         c10::impl::TorchDispatchModeTLS::any_modes_set() || included(DispatchKey::PreDispatch) ||
         included(DispatchKey::FuncTorchDynamicLayerFrontMode);
}

inline bool is_plain(const at::Tensor& tensor) {
  return !tensor.key_set().has(at::DispatchKey::Python) && !tensor._fw_grad(/*level=*/0).defined();
}

}  // namespace detail

DEEPLIGHT_INLINE CheckpointScope::CheckpointScope(bool on)
    : before_(std::exchange(detail::checkpointing_here, on)) {}

DEEPLIGHT_INLINE CheckpointScope::~CheckpointScope() {
  detail::checkpointing_here = before_;
}

DEEPLIGHT_INLINE bool checkpointing() {
  return detail::checkpointing_here;
}

DEEPLIGHT_INLINE bool computing_segment() {
  return detail::segment_here;
}

DEEPLIGHT_INLINE Tensors checkpoint(const Segment& segment, const Tensors& inputs,
                                    const SegmentParts& parts) {
  if (!checkpointing() || !at::GradMode::is_enabled() || detail::is_watched())
    return segment(inputs);
  auto kept = c10::make_intrusive<detail::KeptSegment>();
  for (const auto& part : parts) {
    if (!part || (part->is_training() && !part->buffers().empty())) return segment(inputs);
    for (const at::Tensor& parameter : part->parameters()) {
      kept->parameters.push_back(parameter);
      if (parameter.requires_grad()) kept->trained.push_back(parameter);
    }
  }
  const auto needs_gradient = [](const at::Tensor& tensor) { return tensor.requires_grad(); };
  if ((kept->trained.empty() && std::none_of(inputs.begin(), inputs.end(), needs_gradient)) ||
      !std::all_of(inputs.begin(), inputs.end(), detail::is_plain) ||
      !std::all_of(kept->parameters.begin(), kept->parameters.end(), detail::is_plain) ||
      std::any_of(kept->trained.begin(), kept->trained.end(), detail::has_hooks))
    return segment(inputs);
  kept->run = segment;
  kept->parts = parts;
  kept->versions = kept->versions_now();
  // Named, because the list is only looked at.
  const at::TensorList trained = kept->trained;
  return detail::CheckpointFunction::apply(kept, at::TensorList(inputs), trained);
}

}  // namespace deeplight::nn
