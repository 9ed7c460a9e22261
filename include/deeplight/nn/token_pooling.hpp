// An image as a few tokens: means over a pyramid of grids, or its mean and maximum.
//
// [B, C, H, W] -> [B, tokens, C]. The pyramid has bins 1, 2, 3 and 6, coarse first and each in row
// order: 50 tokens; bin i of n covers pixels floor(i H / n) to ceil((i + 1) H / n), as in adaptive
// pooling. Source: pyramid pooling of PSPNet (Zhao et al. 2017, arXiv 1612.01105), without its
// convolutions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight::nn {

enum class TokenPooling { pyramid, avg, max, avg_max };
DEEPLIGHT_ENUM(TokenPooling, {{TokenPooling::pyramid, "pyramid"},
                              {TokenPooling::avg, "avg"},
                              {TokenPooling::max, "max"},
                              {TokenPooling::avg_max, "avg_max"}})

/// Tokens of an image: 50, 1, 1 or 2 (mean, then maximum).
at::Tensor pool_tokens(const at::Tensor& features, TokenPooling pooling);

}  // namespace deeplight::nn

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/nn/token_pooling_inl.hpp"
#endif
