"""Translations of the library's operators for `torch.onnx.export`.

`register_translations()` once, then `torch.onnx.export(model, inputs, file, dynamo=False,
opset_version=19)`. `deform_conv2d` becomes ONNX's DeformConv.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.onnx import symbolic_helper

__all__ = ["register_translations"]


def register_translations(opset: int = 19) -> None:
    """Makes `torch.onnx.export(..., dynamo=False)` know the operators that ONNX has.

    Args:
        opset: 19 or later, the first with DeformConv.

    Raises:
        ValueError: `opset` is below 19.
    """
    if opset < 19:
        raise ValueError(f"ONNX has DeformConv from opset 19 on, got opset {opset}")
    torch.onnx.register_custom_op_symbolic("deeplight::deform_conv2d", _deform_conv2d, opset)


def _sizes(value: Any, name: str) -> list[int]:
    sizes = symbolic_helper._get_tensor_sizes(value)
    if sizes is None or any(size is None for size in sizes[1:]):
        raise ValueError(f"deform_conv2d: the channels of {name} must be known to export it")
    return sizes


@symbolic_helper.parse_args("v", "v", "v", "v", "is", "is", "is", "v")
def _deform_conv2d(
    g: Any,
    input: Any,
    offset: Any,
    weight: Any,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    mask: Any,
) -> Any:
    outputs, group_channels, *kernel = _sizes(weight, "weight")
    channels = symbolic_helper._get_tensor_dim_size(input, 1)
    offsets = symbolic_helper._get_tensor_dim_size(offset, 1)
    if channels is None or offsets is None:
        raise ValueError("deform_conv2d: the channels of input and offset must be known to export")
    inputs = [input, weight, offset]
    masked = not symbolic_helper._is_none(mask)
    if not symbolic_helper._is_none(bias):
        inputs.append(bias)
    elif masked:
        inputs.append(g.op("Constant", value_t=torch.zeros(outputs)))
    if masked:
        inputs.append(mask)
    return g.op(
        "DeformConv",
        *inputs,
        kernel_shape_i=kernel,
        strides_i=stride,
        pads_i=[*padding, *padding],
        dilations_i=dilation,
        group_i=channels // group_channels,
        offset_group_i=offsets // (2 * kernel[0] * kernel[1]),
    )
