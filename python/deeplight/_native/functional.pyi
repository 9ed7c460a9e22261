"""
Operators on tensors.
"""
from __future__ import annotations
import collections.abc
import torch
import typing
__all__: list[str] = ['affine_warp', 'block_mean', 'deform_conv2d', 'deform_conv2d_reference', 'depthwise_conv2d', 'depthwise_conv2d_reference', 'dynamic_conv2d', 'dynamic_conv2d_reference', 'enforce_block_mean', 'large_selective_kernel', 'large_selective_kernel_reference', 'pixel_shuffle_conv1x1', 'pixel_warp', 'pixel_warp_reference', 'projection_conv2d', 'projection_conv2d_reference', 'projection_conv_transpose2d']
def affine_warp(input: torch.Tensor, theta: torch.Tensor, size: collections.abc.Sequence[typing.SupportsInt], padding_mode: str, align_corners: bool) -> torch.Tensor:
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
def depthwise_conv2d(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [0, 0], dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [1, 1]) -> torch.Tensor:
    ...
def depthwise_conv2d_reference(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [0, 0], dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [1, 1]) -> torch.Tensor:
    ...
def dynamic_conv2d(input: torch.Tensor, kernel: torch.Tensor, padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [0, 0]) -> torch.Tensor:
    ...
def dynamic_conv2d_reference(input: torch.Tensor, kernel: torch.Tensor, padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [0, 0]) -> torch.Tensor:
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
def large_selective_kernel(input: torch.Tensor, multiplier: torch.Tensor, first: torch.Tensor, second: torch.Tensor, first_squeeze: torch.Tensor, second_squeeze: torch.Tensor, selection: torch.Tensor, expand: torch.Tensor, first_bias: torch.Tensor | None = None, second_bias: torch.Tensor | None = None, first_squeeze_bias: torch.Tensor | None = None, second_squeeze_bias: torch.Tensor | None = None, selection_bias: torch.Tensor | None = None, expand_bias: torch.Tensor | None = None, first_dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [1, 1], second_dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [3, 3]) -> torch.Tensor:
    ...
def large_selective_kernel_reference(input: torch.Tensor, multiplier: torch.Tensor, first: torch.Tensor, second: torch.Tensor, first_squeeze: torch.Tensor, second_squeeze: torch.Tensor, selection: torch.Tensor, expand: torch.Tensor, first_bias: torch.Tensor | None = None, second_bias: torch.Tensor | None = None, first_squeeze_bias: torch.Tensor | None = None, second_squeeze_bias: torch.Tensor | None = None, selection_bias: torch.Tensor | None = None, expand_bias: torch.Tensor | None = None, first_dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [1, 1], second_dilation: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"] = [3, 3]) -> torch.Tensor:
    ...
def pixel_shuffle_conv1x1(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, upscale_factor: typing.SupportsInt, slope: torch.Tensor | None) -> torch.Tensor:
    ...
def pixel_warp(image: torch.Tensor, matrix: torch.Tensor, centre_x: typing.SupportsFloat, centre_y: typing.SupportsFloat, max_shift: typing.SupportsFloat, padding_mode: str = 'border') -> torch.Tensor:
    ...
def pixel_warp_reference(image: torch.Tensor, matrix: torch.Tensor, centre_x: typing.SupportsFloat, centre_y: typing.SupportsFloat, max_shift: typing.SupportsFloat, padding_mode: str = 'border') -> torch.Tensor:
    ...
def projection_conv2d(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"], padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"], slope: torch.Tensor | None, residual: torch.Tensor | None, alpha: typing.SupportsFloat) -> torch.Tensor:
    ...
def projection_conv2d_reference(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"], padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"], transposed: bool, slope: torch.Tensor | None, residual: torch.Tensor | None, alpha: typing.SupportsFloat) -> torch.Tensor:
    ...
def projection_conv_transpose2d(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"], padding: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(2)"], slope: torch.Tensor | None, residual: torch.Tensor | None, alpha: typing.SupportsFloat) -> torch.Tensor:
    ...
