"""A trained network on a part of its split, beside everything that it must beat.

Every candidate is held block by block (:mod:`deeplight.intervals`), so that scores and differences
come with intervals. Predictions are not clamped; the interpolations are, at 0.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from deeplight import baselines
from deeplight.intervals import BlockSums
from deeplight.training.data import Region, TrainingData
from deeplight.training.guide_ridge import fit_ridge, guide_bands
from deeplight.training.validation import predict_region

__all__ = ["BLOCK", "baseline_sums", "network_sums"]

#: Side of a bootstrap block, low-resolution cells.
BLOCK = 8


def network_sums(
    network: torch.nn.Module, data: TrainingData, part: str, lit_above: float, block: int = BLOCK
) -> BlockSums:
    """A network's block sums over all regions of a part.

    Args:
        network: in evaluation mode.
        data: from :func:`deeplight.training.load_data`.
        part: "train", "validation" or "test".
        lit_above: lit pixels are those with truth above it.
        block: side of a bootstrap block, low-resolution cells.

    Raises:
        ValueError: the split has no such part.
    """

    def images(region: Region) -> torch.Tensor:
        return predict_region(network, data, region, contextlib.nullcontext)[0, 0]

    return BlockSums.joined(
        [_sums(images(region), data, region, lit_above, block) for region in _regions(data, part)]
    )


def baseline_sums(
    data: TrainingData, part: str, lit_above: float, block: int = BLOCK, *, ridge: bool = True
) -> dict[str, BlockSums]:
    """Block sums of the baselines over all regions of a part, in the table's order.

    ``bilinear``, ``bicubic``, with a low resolution of another sensor ``bicubic x gain``, otherwise
    ``bicubic + block mean``, and with guides ``ridge on guides``, fitted on the training part, its
    penalty chosen on the validation part; ``ridge=False`` spares that fit.

    Raises:
        ValueError: the split has no such part.
    """
    gathered: dict[str, list[BlockSums]] = {}
    fitted = _ridge(data) if ridge else None
    for region in _regions(data, part):
        for name, image in _baselines(data, region, fitted):
            sums = _sums(image, data, region, lit_above, block)
            gathered.setdefault(name, []).append(sums)
    return {name: BlockSums.joined(parts) for name, parts in gathered.items()}


def _regions(data: TrainingData, part: str) -> list[Region]:
    regions = data.regions[part]
    if not regions:
        raise ValueError(f"the split has no {part} part")
    return regions


def _sums(
    image: torch.Tensor, data: TrainingData, region: Region, lit_above: float, block: int
) -> BlockSums:
    truth = data.window(data.target, region)[0, 0]
    valid = data.window(data.valid, region)[0, 0]
    return BlockSums.of(
        image, truth, valid, data_range=data.data_range, block=block * data.scale,
        lit_above=lit_above,
    )  # fmt: skip


def _low(data: TrainingData, region: Region) -> torch.Tensor:
    """Physical low resolution ``[h, w]``; invalid cells count as dark, for every baseline."""
    return data.low_resolution_of(region)[0, 0].nan_to_num(0.0)


def _baselines(
    data: TrainingData, region: Region, ridge: baselines.GuideRidge | None
) -> Iterator[tuple[str, torch.Tensor]]:
    low, scale = _low(data, region), data.scale
    yield "bilinear", baselines.bilinear(low, scale)
    yield "bicubic", baselines.bicubic(low, scale)
    if data.low_resolution is None:
        smooth = baselines.bicubic(low, scale)
        # Consistency shares light out: noise below zero cannot be shared.
        yield "bicubic + block mean", baselines.consistent(smooth, low.clamp_min(0), scale)
    elif data.gain != 1.0:
        yield "bicubic x gain", baselines.bicubic(data.gain * low, scale)
    if ridge is not None:
        bands = data.window(guide_bands(data), region)[0]
        yield "ridge on guides", ridge.predict(data.gain * low, bands)


def _ridge(data: TrainingData) -> baselines.GuideRidge | None:
    if not data.guides:
        return None
    rows, columns = (side // data.scale for side in data.target.shape[1:])
    return fit_ridge(data, data.gain * _low(data, (0, 0, rows, columns)))
