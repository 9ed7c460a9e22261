"""Projection convolutions, and 1x1 convolution with PixelShuffle."""

from __future__ import annotations

import torch

from .. import _native
from ._pair import IntOrPair, pair

__all__ = [
    "pixel_shuffle_conv1x1",
    "projection_conv2d",
    "projection_conv2d_reference",
    "projection_conv_transpose2d",
]


def projection_conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    *,
    slope: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    alpha: float = 1.0,
) -> torch.Tensor:
    """PReLU(conv2d(input)) + alpha * residual in one pass (arXiv 1803.02735); twice differentiable.

    Args:
        input: [B, I, H, W]; a channels-last input gives a channels-last output.
        weight: [O, I, kh, kw].
        bias: [O].
        stride: rows, columns.
        padding: rows, columns; less than the kernel.
        slope: [O], of PReLU; without it there is no activation.
        residual: of the output's shape.
        alpha: factor of the residual.

    Returns:
        [B, O, (H + 2*padding - kh)//stride + 1, ...].

    Raises:
        ValueError: shapes or types that do not fit.
    """
    return _native.functional.projection_conv2d(
        input, weight, bias, pair(stride), pair(padding), slope, residual, alpha
    )


def projection_conv_transpose2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    *,
    slope: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    alpha: float = 1.0,
) -> torch.Tensor:
    """PReLU(conv_transpose2d(input)) + alpha * residual; see :func:`projection_conv2d`.

    Args:
        input: [B, I, H, W].
        weight: [I, O, kh, kw].
        bias: [O], or [stride_h * stride_w, O]: one for each position within a cell.
        stride: rows, columns.
        padding: rows, columns; less than the kernel.
        slope: [O], of PReLU.
        residual: of the output's shape.
        alpha: factor of the residual.

    Returns:
        [B, O, (H - 1)*stride - 2*padding + kh, ...].

    Raises:
        ValueError: shapes or types that do not fit.
    """
    return _native.functional.projection_conv_transpose2d(
        input, weight, bias, pair(stride), pair(padding), slope, residual, alpha
    )


def pixel_shuffle_conv1x1(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    upscale_factor: int = 2,
    *,
    slope: torch.Tensor | None = None,
) -> torch.Tensor:
    """pixel_shuffle(conv2d(input, weight, bias), upscale_factor) in one pass (arXiv 1609.05158).

    Args:
        input: [B, I, H, W].
        weight: [O*r*r, I, 1, 1].
        bias: [O*r*r].
        upscale_factor: r.
        slope: [O], of a PReLU after it; zeros make it ReLU.

    Returns:
        [B, O, r*H, r*W].

    Raises:
        ValueError: shapes or types that do not fit.
    """
    return _native.functional.pixel_shuffle_conv1x1(input, weight, bias, upscale_factor, slope)


def projection_conv2d_reference(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    *,
    transposed: bool = False,
    slope: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    alpha: float = 1.0,
) -> torch.Tensor:
    """Both projections from PyTorch's operations: what devices without a kernel run."""
    return _native.functional.projection_conv2d_reference(
        input, weight, bias, pair(stride), pair(padding), transposed, slope, residual, alpha
    )
