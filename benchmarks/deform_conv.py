"""Deformable convolution on the CPU against torchvision, checked against it in float64 first."""

from __future__ import annotations

import torch
import torchvision
from protocol import Row, compare

from deeplight import functional


def _inputs(channels: int, size: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "input": (1, channels, size, size),
        "offset": (1, 18, size, size),
        "weight": (channels, channels, 3, 3),
        "bias": (channels,),
        "mask": (1, 9, size, size),
    }
    return {name: torch.randn(*s, generator=generator, dtype=dtype) for name, s in shapes.items()}


def rows(rounds: int) -> list[Row]:
    """Forward at C32, 128 x 128, with a mask."""
    exact = _inputs(8, 16, torch.float64)
    torch.testing.assert_close(
        functional.deform_conv2d(**exact, padding=1),
        torchvision.ops.deform_conv2d(**exact, padding=1),
    )
    result = []
    case = _inputs(32, 128, torch.float32)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.no_grad():
            measured = compare(
                lambda: functional.deform_conv2d(**case, padding=1),
                lambda: torchvision.ops.deform_conv2d(**case, padding=1),
                rounds,
            )
        result.append(
            Row("deform_conv2d forward", "C32 128x128", threads, "torchvision", *measured)
        )
    return result
