"""Depthwise, dynamic and large selective kernels."""

from __future__ import annotations

import torch

from .. import _native
from ._pair import pair

__all__ = [
    "depthwise_conv2d",
    "depthwise_conv2d_reference",
    "dynamic_conv2d",
    "dynamic_conv2d_reference",
    "large_selective_kernel",
    "large_selective_kernel_reference",
]


def depthwise_conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
) -> torch.Tensor:
    """Depthwise convolution of stride 1, fast for large and dilated kernels.

    Args:
        input: [B, C, H, W], contiguous or channels-last: the result has the same layout.
        weight: [C, 1, kh, kw], any size.
        bias: [C].
        padding: rows, columns.
        dilation: rows, columns.

    Returns:
        [B, C, H + 2*padding - dilation*(kh - 1), ...].

    Raises:
        ValueError: shapes that do not fit.
    """
    return _native.functional.depthwise_conv2d(input, weight, bias, pair(padding), pair(dilation))


def depthwise_conv2d_reference(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
) -> torch.Tensor:
    """`depthwise_conv2d` from plain ATen operations: slow, the oracle of the kernels."""
    return _native.functional.depthwise_conv2d_reference(
        input, weight, bias, pair(padding), pair(dilation)
    )


def dynamic_conv2d(
    input: torch.Tensor, kernel: torch.Tensor, padding: int | tuple[int, int] = 0
) -> torch.Tensor:
    """Convolution of each sample with a kernel of its own (arXiv 1605.09673).

    Args:
        input: [B, C, H, W].
        kernel: [B, O, C, kh, kw], differentiable as the input is.
        padding: rows, columns.

    Returns:
        [B, O, H + 2*padding - kh + 1, W + 2*padding - kw + 1].

    Raises:
        ValueError: shapes that do not fit.
    """
    return _native.functional.dynamic_conv2d(input, kernel, pair(padding))


def dynamic_conv2d_reference(
    input: torch.Tensor, kernel: torch.Tensor, padding: int | tuple[int, int] = 0
) -> torch.Tensor:
    """`dynamic_conv2d` from plain ATen operations: slow, the oracle of the kernels."""
    return _native.functional.dynamic_conv2d_reference(input, kernel, pair(padding))


def large_selective_kernel(
    input: torch.Tensor,
    multiplier: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    first_squeeze: torch.Tensor,
    second_squeeze: torch.Tensor,
    selection: torch.Tensor,
    expand: torch.Tensor,
    *,
    first_bias: torch.Tensor | None = None,
    second_bias: torch.Tensor | None = None,
    first_squeeze_bias: torch.Tensor | None = None,
    second_squeeze_bias: torch.Tensor | None = None,
    selection_bias: torch.Tensor | None = None,
    expand_bias: torch.Tensor | None = None,
    first_dilation: int | tuple[int, int] = 1,
    second_dilation: int | tuple[int, int] = 3,
) -> torch.Tensor:
    """Large selective kernel in one operator (arXiv 2303.09030, 2409.19835).

    With u = first(input), a = first_squeeze(u) and b = second_squeeze(second(u)), it is
    multiplier * expand(g0 * a + g1 * b), where [g0, g1] = sigmoid(selection(m)) and m is the mean
    and the maximum over the channels of a and b. Every convolution is padded with zeros to keep
    the size. Nothing between input and result is kept for the backward pass.

    Args:
        input: [B, C, H, W].
        multiplier: [B, E, H, W]: the input in LSKNet, the guide in MoCoLSK-Net.
        first: [C, 1, k, k], depthwise; odd sides.
        second: [C, 1, k, k], depthwise; odd sides.
        first_squeeze: [D, C, 1, 1].
        second_squeeze: [D, C, 1, 1].
        selection: [2, 2, k, k], or [B, 2, 2, k, k] for a kernel per sample; odd sides.
        expand: [E, D, 1, 1].
        first_bias: [C].
        second_bias: [C].
        first_squeeze_bias: [D].
        second_squeeze_bias: [D].
        selection_bias: [2].
        expand_bias: [E].
        first_dilation: rows, columns.
        second_dilation: rows, columns.

    Returns:
        [B, E, H, W].

    Raises:
        ValueError: shapes that do not fit.
    """
    return _native.functional.large_selective_kernel(
        input, multiplier, first, second, first_squeeze, second_squeeze, selection, expand,
        first_bias, second_bias, first_squeeze_bias, second_squeeze_bias, selection_bias,
        expand_bias, pair(first_dilation), pair(second_dilation),
    )  # fmt: skip


def large_selective_kernel_reference(
    input: torch.Tensor,
    multiplier: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    first_squeeze: torch.Tensor,
    second_squeeze: torch.Tensor,
    selection: torch.Tensor,
    expand: torch.Tensor,
    *,
    first_bias: torch.Tensor | None = None,
    second_bias: torch.Tensor | None = None,
    first_squeeze_bias: torch.Tensor | None = None,
    second_squeeze_bias: torch.Tensor | None = None,
    selection_bias: torch.Tensor | None = None,
    expand_bias: torch.Tensor | None = None,
    first_dilation: int | tuple[int, int] = 1,
    second_dilation: int | tuple[int, int] = 3,
) -> torch.Tensor:
    """`large_selective_kernel` from plain ATen operations: slow, the oracle of the kernels."""
    return _native.functional.large_selective_kernel_reference(
        input, multiplier, first, second, first_squeeze, second_squeeze, selection, expand,
        first_bias, second_bias, first_squeeze_bias, second_squeeze_bias, selection_bias,
        expand_bias, pair(first_dilation), pair(second_dilation),
    )  # fmt: skip
