"""Scores on the validation blocks: lit PSNR beside bicubic's, and the light ratio.

Lit means target > ``lit_above``. Predictions are not clamped; bicubic is, at 0, because its
undershoot is an artefact of interpolation and an unclamped one would be a weaker baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from deeplight.baselines import bicubic
from deeplight.training.data import Region, TrainingData
from deeplight.training.prediction import frame_of, predict_region

__all__ = ["predict_region", "validate"]


def validate(
    network: torch.nn.Module,
    data: TrainingData,
    part: str,
    lit_above: float,
    autocast: Any,
    *,
    context: bool = False,
    self_ensemble: bool = False,
    show: Callable[[list[torch.Tensor]], None] | None = None,
) -> dict[str, float]:
    """Scores over all regions of a part together.

    Args:
        network: in evaluation mode.
        data: prepared rasters.
        part: of the split.
        lit_above: where light begins, physical units.
        autocast: makes the context in which the network computes.
        context: network and bicubic read the surroundings of a region too.
        self_ensemble: the network is averaged over the eight flips and rotations.
        show: given bicubic, prediction and truth ``[H, W]`` of the first region.

    Returns:
        ``lit_psnr``, ``bicubic_lit_psnr`` and their difference ``gain`` in dB (peak
        ``data.data_range``), ``psnr`` over all valid pixels, ``light_ratio`` predicted / true.

    Raises:
        ValueError: the part holds no lit pixel.
    """
    sums = dict.fromkeys(("lit", "lit_bicubic", "all", "light", "true_light"), 0.0)
    lit_count = valid_count = 0
    for index, region in enumerate(data.regions[part]):
        target = data.window(data.target, region)
        valid = data.window(data.valid, region)
        target = torch.where(valid, target, 0).double()
        image = predict_region(
            network, data, region, autocast, context=context, self_ensemble=self_ensemble
        ).double()
        smooth = _bicubic(data, region, context).double()
        lit = valid & (target > lit_above)
        lit_count += int(lit.sum())
        valid_count += int(valid.sum())
        error = (image - target).square()
        sums["lit"] += float(error[lit].sum())
        sums["all"] += float(error[valid].sum())
        sums["lit_bicubic"] += float((smooth - target).square()[lit].sum())
        sums["light"] += float(image[valid].sum())
        sums["true_light"] += float(target[valid].sum())
        if show is not None and index == 0:
            show([panel[0, 0] for panel in (smooth, image, target)])
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


def _bicubic(data: TrainingData, region: Region, context: bool) -> torch.Tensor:
    """Bicubic of a region, which reads no more and no less than the network may."""
    row, column, height, width = region
    _, _, rows, columns = frame_of(data, region, context)
    if context:  # it reaches two cells; a third makes its own border's rounding harmless
        top, left = max(row - 3, 0), max(column - 3, 0)
        bottom, right = min(row + height + 3, rows), min(column + width + 3, columns)
    else:
        top, left, bottom, right = row, column, row + height, column + width
    # Invalid cells count as dark, for bicubic as for the network.
    low = data.low_resolution_of((top, left, bottom - top, right - left)).nan_to_num(0.0)
    r = data.scale
    image = bicubic(low, r)[:, :, (row - top) * r :, (column - left) * r :]
    return image[:, :, : height * r, : width * r]
