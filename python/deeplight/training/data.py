"""What a run needs of its rasters, as tensors: :class:`TrainingData`, made by :func:`load_data`.

Everything here is prepared once, before the first step. Statistics see the training region only.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from deeplight import _native
from deeplight.training.rasters import RasterStack
from deeplight.training.schema import DataConfig, TrainingConfig
from deeplight.training.split import PARTS, Region, check_reach, split_regions
from deeplight.training.statistics import (
    InitialCard,
    describe_guide,
    describe_light,
    least_squares_gain,
)

__all__ = ["Region", "TrainingData", "load_data", "split_regions"]


@dataclass
class TrainingData:
    """Prepared rasters, on the CPU.

    Attributes:
        target: ``[1, H, W]`` float32, physical units.
        valid: ``[1, H, W]`` bool.
        low_resolution: ``[1, h, w]`` float32, physical, NaN where invalid; None: simulated.
        guides: by name ``[bands, H, W]`` float32, normalised, contrasts included.
        auxiliary: ``[1, H, W]`` float32 in [0, 1], or None.
        regions: part of the split -> regions of the low-resolution grid.
        preprocessing: the card's table of that name.
        cell_size: of a low-resolution cell, x and y, in ``cell_size_units``.
        data_range: peak for PSNR, physical units.
        kernel: point spread ``[k, l]`` float64 before a simulated low resolution, or None.
        saturation: where a simulated low resolution is cut, physical units; 0: nowhere.
        gain: by which a low resolution of another sensor was matched to the target; 1 otherwise.
            The preprocessing holds it already, as a smaller ``low_resolution.std``.
        notes: what a user should know of the rasters, as sentences.
    """

    target: torch.Tensor
    valid: torch.Tensor
    low_resolution: torch.Tensor | None
    guides: dict[str, torch.Tensor]
    auxiliary: torch.Tensor | None
    regions: dict[str, list[Region]]
    preprocessing: dict[str, Any]
    scale: int
    cell_size: list[float]
    cell_size_units: str
    data_range: float
    kernel: torch.Tensor | None = None
    saturation: float = 0.0
    gain: float = 1.0
    notes: list[str] = field(default_factory=list)

    def preprocessor(self) -> Any:
        """The native preprocessor that the card's table describes."""
        return _native.Preprocessor(json.dumps(self.preprocessing), self.scale)

    def sampler(
        self, config: TrainingConfig, threads: int, first_item: int = 0, items: int = 0
    ) -> Any:
        """The native sampler over the training regions.

        Args:
            config: patches and seed.
            threads: that prepare coming steps; 0: prepare when asked.
            first_item: of each batch that is computed here.
            items: how many of each batch; 0: all that follow.
        """
        patches = config.patches
        options = {
            "scale": self.scale,
            "patch": patches.patch,
            "batch": patches.batch,
            "random_phase": patches.random_phase,
            "flips": patches.flips,
            "lit_bias": patches.lit_bias,
            "lit_above": patches.lit_above,
            "gain_jitter": patches.gain_jitter,
            "guide_dropout": patches.guide_dropout,
            "saturation": self.saturation,
            "first_item": first_item,
            "items": items,
            "seed": config.run.seed,
            "threads": threads,
        }
        r = self.scale
        regions = [(row * r, col * r, h * r, w * r) for row, col, h, w in self.regions["train"]]
        return _native.PatchSampler(
            self.target,
            self.guides,
            regions,
            low_resolution=self.low_resolution,
            auxiliary=self.auxiliary,
            valid=self.valid,
            options=json.dumps(options),
            kernel=self.kernel,
        )

    @functools.cached_property
    def simulated(self) -> torch.Tensor:
        """Physical low resolution ``[1, h, w]`` of the target, NaN where no pixel is valid."""
        return _native.simulate_low_resolution(
            self.target, self.scale, self.valid, self.kernel, self.saturation
        )

    def low_resolution_of(self, region: Region) -> torch.Tensor:
        """Physical low resolution ``[1, 1, h, w]`` of a region, NaN where invalid."""
        row, column, height, width = region
        low = self.simulated if self.low_resolution is None else self.low_resolution
        return low[:, row : row + height, column : column + width][None]

    def window(self, image: torch.Tensor, region: Region) -> torch.Tensor:
        """``[1, C, r*h, r*w]`` of a high-resolution ``[C, H, W]`` over a low-resolution region."""
        row, column, height, width = (v * self.scale for v in region)
        return image[:, row : row + height, column : column + width][None]

    @property
    def margin(self) -> int:
        """Low-resolution cells that preparing a cell reads around it: contrasts, point spread."""
        spread = 0 if self.kernel is None else max(self.kernel.shape) // 2
        return max(self.preprocessor().margin, math.ceil(spread / self.scale))


def load_data(config: TrainingConfig) -> TrainingData:
    """Reads and checks everything that a configuration names.

    Raises:
        FileNotFoundError: a raster or a card is missing.
        ValueError: not a raster, grids that do not fit, a split that is empty or leaks, no valid
            pixel, a constant band, a kernel or gain that cannot be, rasters that contradict the
            card they are held to.
        RuntimeError: the package was built without rasters.
    """
    data, r = config.data, config.data.scale
    stack, regions = _opened(config)
    target, valid = stack.target()
    train = _checked_parts(regions, valid, r, stack.path(data.target))
    card = InitialCard(config.init)

    light = describe_light(data, target[valid & train], stack.path(data.target))
    preprocessing: dict[str, Any] = {
        "low_resolution": light,
        "output": light,
        "guides": [],
        "contrast_windows": list(data.contrast_windows),
    }
    low, gain = None, 1.0
    if data.low_resolution:
        low, units = stack.low_resolution()
        cells = train[r // 2 :: r, r // 2 :: r]
        preprocessing["low_resolution"], gain = _describe_low_resolution(
            data, light, low, units, target, valid, cells, stack.path(data.low_resolution)
        )
    card.compare_light(preprocessing["low_resolution"])

    raw: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for guide in data.guides:
        values, guide_valid, bands = stack.guide(guide)
        preprocessing["guides"].append(
            describe_guide(data, guide, bands, values, guide_valid, train, card)
        )
        raw[guide.name] = (values, guide_valid)
    preprocessor = _native.Preprocessor(json.dumps(preprocessing), r)

    prepared = TrainingData(
        target=target,
        valid=valid,
        low_resolution=low,
        guides={
            name: preprocessor.guide(name, values[None], guide_valid[None])[0]
            for name, (values, guide_valid) in raw.items()
        },
        auxiliary=_auxiliary(data, stack) if data.auxiliary else None,
        regions=regions,
        preprocessing=preprocessing,
        scale=r,
        cell_size=[abs(side) * r for side in stack.cell_size],
        cell_size_units=stack.cell_size_units,
        data_range=data.data_range or preprocessing["output"]["maximum"],
        kernel=_kernel(data, stack),
        saturation=data.degradation.saturation,
        gain=gain,
        notes=card.notes,
    )
    check_reach(config.split, regions, prepared.margin)
    return prepared


def _opened(config: TrainingConfig) -> tuple[Any, dict[str, list[Region]]]:
    """What reads the configuration's data, and the regions of its split."""
    if config.data.kind != "rasters":
        from deeplight.training.groklst import GrokLst
        from deeplight.training.image_stack import GeoTiffFolders, ImageSource, ImageStack

        source: ImageSource
        if config.data.kind == "folders":
            source = GeoTiffFolders(config.data)
        else:
            source = GrokLst(Path(config.data.root))
        images = ImageStack(config.data, source)
        return images, images.regions
    stack = RasterStack(config.data)
    return stack, split_regions(config.split, stack.rows, stack.columns)


def _checked_parts(
    regions: dict[str, list[Region]], valid: torch.Tensor, scale: int, path: str
) -> torch.Tensor:
    """Training pixels, bool ``[H, W]``; each part of the split must hold a valid pixel."""
    masks = {name: torch.zeros(valid.shape[1:], dtype=torch.bool) for name in PARTS}
    for name, part in regions.items():
        for row, column, height, width in (tuple(v * scale for v in region) for region in part):
            masks[name][row : row + height, column : column + width] = True
        if part and not bool((valid & masks[name]).any()):
            raise ValueError(
                f"the {name} part of the split holds no valid pixel of target '{path}'"
            )
    return masks["train"]


def _describe_low_resolution(
    data: DataConfig,
    light: dict[str, Any],
    low: torch.Tensor,
    units: str,
    target: torch.Tensor,
    valid: torch.Tensor,
    cells: torch.Tensor,
    path: str,
) -> tuple[dict[str, Any], float]:
    """The card's description of a real low resolution, and its gain."""
    seen = low[:, cells]
    seen = seen[seen.isfinite()]
    if seen.numel() == 0:
        raise ValueError(f"low resolution '{path}' holds no valid pixel in the training region")
    described = {**light, "minimum": float(seen.min()), "maximum": float(seen.max())}
    if data.gain == "none":
        return described, 1.0
    means = _native.simulate_low_resolution(target, data.scale, valid)
    gain = least_squares_gain(data, low, means, cells, path)
    # g x / std = x / (std / g): the gain needs no place of its own in the card.
    return {**described, "units": units or light["units"], "std": light["std"] / gain}, gain


def _kernel(data: DataConfig, stack: RasterStack) -> torch.Tensor | None:
    if data.degradation.psf == "gaussian":
        return _native.gaussian_kernel(data.degradation.sigma)
    return stack.kernel() if data.degradation.psf == "measured" else None


def _auxiliary(data: DataConfig, stack: RasterStack) -> torch.Tensor:
    values, valid, _ = stack.layer(data.auxiliary, "auxiliary")
    auxiliary = torch.where(valid, values, 0)
    if float(auxiliary.min()) < 0 or float(auxiliary.max()) > 1:
        raise ValueError(
            f"auxiliary '{stack.path(data.auxiliary)}' must lie in [0, 1], got "
            f"{float(auxiliary.min()):g} to {float(auxiliary.max()):g}"
        )
    return auxiliary
