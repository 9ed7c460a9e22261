"""Scores on the validation blocks: lit PSNR beside bicubic's, and the light ratio.

Lit means target > ``lit_above``. Predictions are not clamped; bicubic is, at 0, because its
undershoot is an artefact of interpolation and an unclamped one would be a weaker baseline.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from deeplight.baselines import bicubic
from deeplight.training.data import Region, TrainingData

__all__ = ["predict_region", "validate"]

_CORE = 64  # low-resolution cells along each side that one window predicts
_HALO = 16


def predict_region(
    network: torch.nn.Module, data: TrainingData, region: Region, autocast: Any
) -> torch.Tensor:
    """The network's image of a region ``[1, 1, r*h, r*w]``, physical units.

    Only pixels of the region itself are read: its surroundings belong to other parts.
    """
    preprocessor, r = data.preprocessor(), data.scale
    device = next(network.parameters()).device
    row, column, height, width = region
    result = torch.empty(1, 1, height * r, width * r)
    for top, bottom, first_row, last_row in _spans(height):
        for left, right, first_column, last_column in _spans(width):
            window = (
                row + first_row,
                column + first_column,
                last_row - first_row,
                last_column - first_column,
            )
            low = preprocessor.low_resolution(data.low_resolution_of(window)).to(device)
            guides = {
                name: data.window(guide, window).contiguous().to(device)
                for name, guide in data.guides.items()
            }
            with torch.no_grad(), autocast():
                image = network(low, guides).image
            image = preprocessor.restore(image.float().cpu())
            core = image[
                :, :, (top - first_row) * r : (bottom - first_row) * r,
                (left - first_column) * r : (right - first_column) * r,
            ]  # fmt: skip
            result[:, :, top * r : bottom * r, left * r : right * r] = core
    return result


def _spans(size: int) -> Iterator[tuple[int, int, int, int]]:
    """(core start, core end, window start, window end); windows start at multiples of 4."""
    for start in range(0, size, _CORE):
        end = min(size, start + _CORE)
        yield start, end, max(0, start - _HALO), min(size, end + _HALO)


def validate(
    network: torch.nn.Module,
    data: TrainingData,
    part: str,
    lit_above: float,
    autocast: Any,
) -> dict[str, float]:
    """Scores over all regions of a part together.

    Returns:
        ``lit_psnr``, ``bicubic_lit_psnr`` and their difference ``gain`` in dB (peak
        ``data.data_range``), ``psnr`` over all valid pixels, ``light_ratio`` predicted / true.

    Raises:
        ValueError: the part holds no lit pixel.
    """
    sums = dict.fromkeys(("lit", "lit_bicubic", "all", "light", "true_light"), 0.0)
    lit_count = valid_count = 0
    for region in data.regions[part]:
        target = data.window(data.target, region)
        valid = data.window(data.valid, region)
        target = torch.where(valid, target, 0).double()
        image = predict_region(network, data, region, autocast).double()
        # Invalid cells count as dark, for bicubic as for the network.
        smooth = bicubic(data.low_resolution_of(region).nan_to_num(0.0), data.scale).double()
        lit = valid & (target > lit_above)
        lit_count += int(lit.sum())
        valid_count += int(valid.sum())
        error = (image - target).square()
        sums["lit"] += float(error[lit].sum())
        sums["all"] += float(error[valid].sum())
        sums["lit_bicubic"] += float((smooth - target).square()[lit].sum())
        sums["light"] += float(image[valid].sum())
        sums["true_light"] += float(target[valid].sum())
    if lit_count == 0:
        raise ValueError(f"the {part} part of the split holds no pixel above {lit_above:g}")

    def decibel(total: float, count: int) -> float:
        return 10 * math.log10(data.data_range**2 / max(total / count, 1e-300))

    lit_psnr, smooth_psnr = (decibel(sums[key], lit_count) for key in ("lit", "lit_bicubic"))
    return {
        "lit_psnr": lit_psnr,
        "bicubic_lit_psnr": smooth_psnr,
        "gain": lit_psnr - smooth_psnr,
        "psnr": decibel(sums["all"], valid_count),
        "light_ratio": sums["light"] / sums["true_light"],
    }
