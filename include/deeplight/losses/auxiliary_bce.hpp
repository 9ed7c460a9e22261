// Binary cross-entropy with logits for the auxiliary head (impervious surface, settlement).
//
// The DeepLight paper prints it without the minus sign; this is the loss that falls as the head
// gets better: -(p t log s(x) + (1 - t) log(1 - s(x))).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "deeplight/core/config.hpp"

namespace deeplight::losses {

/// Mean binary cross-entropy, in nats, computed from logits without overflow.
/// @param logits           [B, 1, H, W], floating
/// @param target           the same shape, in [0, 1]
/// @param mask             boolean, broadcasts to the shape; invalid pixels are excluded, be they
/// NaN
/// @param positive_weight  p, how much a positive pixel weighs; with 112 zeros to a one, p = 112
///                         balances the classes, p = 1 (the paper) does not. The mean is over
///                         pixels.
/// @return  scalar of the logits' type; 0, with zero gradients, when nothing is valid
/// @throws InvalidArgument  shapes differ, or positive_weight is not above 0
at::Tensor auxiliary_bce(const at::Tensor& logits, const at::Tensor& target,
                         const std::optional<at::Tensor>& mask = {}, double positive_weight = 1.0);

}  // namespace deeplight::losses

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/losses/auxiliary_bce_inl.hpp"
#endif
