"""Deformable convolution."""

from __future__ import annotations

import torch

from .. import _native
from ._pair import pair

__all__ = ["deform_conv2d", "deform_conv2d_reference"]


def deform_conv2d(
    input: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Deformable convolution v1, and v2 with a mask (arXiv 1703.06211, 1811.11168).

    Args:
        input: [B, C, H, W].
        offset: [B, 2*G*kh*kw, OH, OW] in pixels; per group and kernel tap: dy, dx.
        weight: [O, C/groups, kh, kw].
        bias: [O].
        stride: rows, columns.
        padding: rows, columns.
        dilation: rows, columns.
        mask: [B, G*kh*kw, OH, OW], multiplies each sample.

    Returns:
        [B, O, OH, OW]. A sample outside the image, or with a NaN or infinite offset, is 0.

    Raises:
        ValueError: shapes that do not fit.
    """
    return _native.functional.deform_conv2d(
        input, offset, weight, bias, pair(stride), pair(padding), pair(dilation), mask
    )


def deform_conv2d_reference(
    input: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """`deform_conv2d` from plain ATen operations: slow, the oracle of the kernels."""
    return _native.functional.deform_conv2d_reference(
        input, offset, weight, bias, pair(stride), pair(padding), pair(dilation), mask
    )
