"""
Operators on tensors.
"""
from __future__ import annotations
import collections.abc
import torch
import typing
__all__: list[str] = ['affine_warp', 'block_mean', 'deform_conv2d', 'deform_conv2d_reference', 'enforce_block_mean']
def affine_warp(image: torch.Tensor, matrix: torch.Tensor, centre_x: typing.SupportsFloat, centre_y: typing.SupportsFloat, max_shift: typing.SupportsFloat) -> torch.Tensor:
    ...
def block_mean(image: torch.Tensor, scale: typing.SupportsInt, valid: torch.Tensor | None = None) -> torch.Tensor:
    """
    Mean over blocks of scale x scale pixels: the area average.
    
    Args:
        image: [..., r*h, r*w], floating.
        scale: r >= 1.
        valid: boolean, broadcasts to the image; the mean is over valid pixels only, and 0 in a block
            without any.
    
    Returns:
        [..., h, w], differentiable.
    
    Raises:
        ValueError: a side is no multiple of the scale, or the mask is not boolean.
    """
def deform_conv2d(input: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, stride: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [1, 1], padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [0, 0], dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [1, 1], mask: torch.Tensor | None = None) -> torch.Tensor:
    ...
def deform_conv2d_reference(input: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, stride: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [1, 1], padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [0, 0], dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [1, 1], mask: torch.Tensor | None = None) -> torch.Tensor:
    ...
def enforce_block_mean(image: torch.Tensor, low_resolution: torch.Tensor, scale: typing.SupportsInt, consistency: str = 'multiplicative', valid: torch.Tensor | None = None) -> torch.Tensor:
    """
    Changes an image so that its block means equal the low resolution, within rounding.
    
    Args:
        image: [..., r*h, r*w], floating, in linear units.
        low_resolution: [..., h, w] in the same units; not negative for "multiplicative".
        scale: r >= 1.
        consistency: "additive" adds the same amount to every pixel of a block and may go below 0;
            "multiplicative" sets negative pixels to 0, then scales each block; a block that is dark
            where the low resolution is not is filled evenly with it.
        valid: boolean, broadcasts to the image; means are over valid pixels, invalid pixels keep their
            values, a block without valid pixels is left alone.
    
    Returns:
        The consistent image, differentiable. Applying the step twice changes nothing more.
    
    Raises:
        ValueError: shapes do not fit, the mask is not boolean, or the consistency is unknown.
    """
