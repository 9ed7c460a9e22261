"""Affine warps without a stored grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import _native
from .._native.functional import pixel_warp, pixel_warp_reference

__all__ = ["affine_warp", "pixel_warp", "pixel_warp_reference"]


def affine_warp(
    input: torch.Tensor,
    theta: torch.Tensor,
    size: Sequence[int] | None = None,
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> torch.Tensor:
    """grid_sample(input, affine_grid(theta, size)) bilinearly, without a grid (arXiv 1506.02025).

    Args:
        input: [B, C, H, W]; a channels-last input gives a channels-last output.
        theta: [B or 1, 2, 3], from output to input, in coordinates from -1 to 1.
        size: rows and columns of the output; by default the input's.
        padding_mode: ``"zeros"``, ``"border"`` or ``"reflection"``.
        align_corners: whether -1 and 1 are the centres of the corner pixels or their outer edges.

    Returns:
        [B, C, rows, columns], once differentiable in input and theta. A position that is not a
        number samples 0.

    Raises:
        ValueError: shapes that do not fit, an unknown mode.
        RuntimeError: a second derivative is asked for.
    """
    return _native.functional.affine_warp(
        input, theta, list(size or ()), padding_mode, align_corners
    )
