"""Random cases of the 3x3 convolution of inference, shared by its tests and the soak."""

from __future__ import annotations

import random

import torch

from large_kernel_cases import laid_out

LAST = torch.channels_last


def conv3x3_exact(
    image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, slope: float
) -> torch.Tensor:
    """The definition in float64."""
    result = torch.conv2d(image.double(), weight.double(), bias.double(), padding=1)
    return torch.where(result < 0, slope * result, result)


def conv3x3_arguments(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """Arguments whose results are about 1."""
    generator = random.Random(seed)
    torch.manual_seed(seed)
    channels, outputs = (16 * generator.randint(1, 6) for _ in range(2))
    if generator.random() < 0.3:  # few outputs have kernels of their own
        channels, outputs = channels + generator.randint(0, 15), generator.randint(1, 4)
    shape = (generator.randint(1, 3), channels, generator.randint(1, 30), generator.randint(1, 41))
    image = laid_out(shape, torch.float32, generator.choice(["channels_last", "contiguous"]))
    weight = torch.randn(outputs, channels, 3, 3) / (9 * channels) ** 0.5
    return image, weight, torch.randn(outputs), generator.choice([1.0, 0.2, 0.0])


def conv3x3_case(seed: int) -> None:
    """One random case: layout and values."""
    arguments = conv3x3_arguments(seed)
    result = torch.ops.deeplight.conv3x3(*arguments)
    last = arguments[0].is_contiguous(memory_format=LAST)
    assert result.is_contiguous(memory_format=LAST if last else torch.contiguous_format)
    torch.testing.assert_close(result.double(), conv3x3_exact(*arguments), rtol=0, atol=2e-5)
