"""Rasters -> tensors: reading, checking, statistics, normalisation, the split.

Everything here is prepared once, before the first step. Statistics see the training region only.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deeplight import _native
from deeplight.training.schema import DataConfig, RegionConfig, SplitConfig, TrainingConfig

__all__ = ["Region", "TrainingData", "load_data", "split_regions"]

Region = tuple[int, int, int, int]
"""(row, column, height, width)."""


@dataclass
class TrainingData:
    """What a run needs of its rasters, on the CPU.

    Attributes:
        target: ``[1, H, W]`` float32, physical units.
        valid: ``[1, H, W]`` bool.
        low_resolution: ``[1, h, w]`` float32, physical, NaN where invalid; None: block means.
        guides: by name ``[bands, H, W]`` float32, normalised, local contrast included.
        auxiliary: ``[1, H, W]`` float32 in [0, 1], or None.
        regions: part of the split -> regions of the low-resolution grid.
        preprocessing: the card's table of that name.
        cell_size: of a low-resolution cell, x and y, in ``cell_size_units``.
        data_range: peak for PSNR, physical units.
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

    def preprocessor(self) -> Any:
        """The native preprocessor that the card's table describes."""
        return _native.Preprocessor(json.dumps(self.preprocessing), self.scale)

    def sampler(self, config: TrainingConfig, threads: int) -> Any:
        """The native sampler over the training regions."""
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
        )

    def low_resolution_of(self, region: Region) -> torch.Tensor:
        """Physical low resolution ``[1, 1, h, w]`` of a region, NaN where no pixel is valid."""
        row, column, height, width = region
        if self.low_resolution is not None:
            return self.low_resolution[:, row : row + height, column : column + width][None]
        target, valid = self.window(self.target, region), self.window(self.valid, region)
        mask = valid.double()
        total = torch.nn.functional.avg_pool2d(torch.where(valid, target, 0).double(), self.scale)
        share = torch.nn.functional.avg_pool2d(mask, self.scale)
        return torch.where(share > 0, total / share, math.nan).float()

    def window(self, image: torch.Tensor, region: Region) -> torch.Tensor:
        """``[1, C, r*h, r*w]`` of a high-resolution ``[C, H, W]`` over a low-resolution region."""
        row, column, height, width = (v * self.scale for v in region)
        return image[:, row : row + height, column : column + width][None]


def load_data(config: TrainingConfig) -> TrainingData:
    """Reads and checks everything that a configuration names.

    Raises:
        FileNotFoundError: a raster is missing.
        ValueError: not a raster, grids that do not fit, a split that leaks, a constant band.
        RuntimeError: the package was built without rasters.
    """
    if not _native.has_raster:
        raise RuntimeError("this build of deeplight has no raster support; training reads rasters")
    data, r = config.data, config.data.scale
    target_raster = _open(data, data.target, "target")
    grid = target_raster.grid
    rows, columns = grid.rows // r, grid.columns // r
    if rows < 1 or columns < 1:
        raise ValueError(
            f"target '{_path(data, data.target)}' is {grid.rows}x{grid.columns} pixels, smaller "
            f"than one {r}x{r} low-resolution cell"
        )
    regions = split_regions(config.split, rows, columns)
    target, valid = _read(target_raster, data, data.target, bands=1)
    target, valid = (t[:, : rows * r, : columns * r].contiguous() for t in (target, valid))

    low = None
    if data.low_resolution:
        raster = _open(data, data.low_resolution, "low resolution")
        _native.check_guide(raster.info, target_raster.info, "target", r)
        values, low_valid = _read(raster, data, data.low_resolution, bands=1)
        low = torch.where(low_valid, values, math.nan)

    train = torch.zeros(rows * r, columns * r, dtype=torch.bool)
    for row, column, height, width in regions["train"]:
        train[row * r : (row + height) * r, column * r : (column + width) * r] = True
    light = _describe_light(config, target[valid & train])
    preprocessing: dict[str, Any] = {
        "low_resolution": light,
        "output": light,
        "guides": [],
        "contrast_window": data.contrast_window,
    }
    if low is not None:
        seen = low[:, train[r // 2 :: r, r // 2 :: r]]
        seen = seen[seen.isfinite()]
        preprocessing["low_resolution"] = {
            **light, "minimum": float(seen.min()), "maximum": float(seen.max())
        }  # fmt: skip

    raw: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for guide in data.guides:
        raster = _open(data, guide.path, f"guide '{guide.name}'")
        _native.check_guide(target_raster.info, raster.info, guide.name, 1)
        values, guide_valid = _read(raster, data, guide.path)
        values, guide_valid = (t[:, : rows * r, : columns * r] for t in (values, guide_valid))
        described = {
            "name": guide.name,
            "bands": values.shape[0],
            "units": guide.units or raster.info.bands[0].units,
            "band_names": [band.name for band in raster.info.bands],
            "local_contrast": guide.local_contrast,
            **_statistics(values, guide_valid & train, guide.name),
        }
        preprocessing["guides"].append(described)
        raw[guide.name] = (values, guide_valid)
    preprocessor = _native.Preprocessor(json.dumps(preprocessing), r)
    guides = {
        name: preprocessor.guide(name, values[None], guide_valid[None])[0]
        for name, (values, guide_valid) in raw.items()
    }

    auxiliary = None
    if data.auxiliary:
        raster = _open(data, data.auxiliary, "auxiliary")
        _native.check_guide(target_raster.info, raster.info, "auxiliary", 1)
        values, aux_valid = _read(raster, data, data.auxiliary, bands=1)
        auxiliary = torch.where(aux_valid, values, 0)[:, : rows * r, : columns * r].contiguous()
        if float(auxiliary.min()) < 0 or float(auxiliary.max()) > 1:
            raise ValueError(
                f"auxiliary '{_path(data, data.auxiliary)}' must lie in [0, 1], got "
                f"{float(auxiliary.min()):g} to {float(auxiliary.max()):g}"
            )
    cell_x, cell_y = (abs(v) * r for v in grid.cell_size)
    return TrainingData(
        target=target,
        valid=valid,
        low_resolution=low,
        guides=guides,
        auxiliary=auxiliary,
        regions=regions,
        preprocessing=preprocessing,
        scale=r,
        cell_size=[cell_x, cell_y],
        cell_size_units=_cell_units(grid.crs_wkt),
        data_range=data.data_range or preprocessing["output"]["maximum"],
    )


def split_regions(split: SplitConfig, rows: int, columns: int) -> dict[str, list[Region]]:
    """Regions by part, checked against the grid and against each other.

    Raises:
        ValueError: as ``check_split`` of ``deeplight/data/split.hpp``; the part is named.
    """
    parts = {
        name: [_region(r, rows, columns, f"split.{name}[{i}]") for i, r in enumerate(part)]
        for name, part in (
            ("train", split.train), ("validation", split.validation), ("test", split.test)
        )
    }  # fmt: skip
    _native.check_split(
        parts["train"], parts["validation"], parts["test"], rows, columns, split.buffer
    )
    return parts


def _region(region: RegionConfig, rows: int, columns: int, where: str) -> Region:
    def axis(name: str, given: tuple[int, ...], size: int) -> tuple[int, int]:
        if not given:
            return 0, size
        if len(given) != 2 or given[1] < given[0]:
            raise ValueError(
                f"'{where}.{name}' must be [first, last] with first <= last, got {list(given)}"
            )
        return given[0], given[1] - given[0] + 1

    row, height = axis("rows", region.rows, rows)
    column, width = axis("columns", region.columns, columns)
    return row, column, height, width


def _path(data: DataConfig, name: str) -> str:
    return str(Path(data.root) / name)


def _open(data: DataConfig, name: str, role: str) -> Any:
    path = Path(data.root) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{role} '{path}' does not exist (data.root is '{data.root}'; --data gives another)"
        )
    return _native.Raster(str(path))


def _read(
    raster: Any, data: DataConfig, name: str, bands: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and validity ``[bands, H, W]``."""
    count = len(raster.info.bands)
    if bands is not None and count != bands:
        raise ValueError(f"'{_path(data, name)}' has {count} bands, expected {bands}")
    values, valid = raster.read()
    return torch.from_numpy(values), torch.from_numpy(valid).expand(values.shape)


def _describe_light(config: TrainingConfig, values: torch.Tensor) -> dict[str, Any]:
    """The card's description of low resolution and output; ``values`` are training pixels."""
    light = config.data.light
    if values.numel() == 0:
        raise ValueError("the training region of the target holds no valid pixel")
    described = {
        "units": light.units,
        "transform": light.transform,
        "transform_scale": light.transform_scale,
        "mean": light.mean,
        "std": light.std,
        "minimum": float(values.min()),
        "maximum": float(values.max()),
    }
    if light.std == 0:
        identity = {**described, "mean": 0.0, "std": 1.0}
        description = {"low_resolution": identity, "output": identity, "guides": []}
        preprocessor = _native.Preprocessor(json.dumps(description), config.data.scale)
        spread = float(preprocessor.target(values.view(1, 1, 1, -1)).double().std())
        if not spread > 0:
            raise ValueError("the target is constant over the training region")
        described["std"] = spread
    return described


def _statistics(values: torch.Tensor, mask: torch.Tensor, name: str) -> dict[str, list[float]]:
    """Mean, deviation and range per band over ``mask``, in float64."""
    result: dict[str, list[float]] = {"mean": [], "std": [], "minimum": [], "maximum": []}
    for band, (image, usable) in enumerate(zip(values, mask, strict=True)):
        pixels = image[usable].double()
        if pixels.numel() == 0 or not float(pixels.std()) > 0:
            raise ValueError(
                f"band {band + 1} of guide '{name}' is constant or empty over the training region"
            )
        result["mean"].append(float(pixels.mean()))
        result["std"].append(float(pixels.std()))
        result["minimum"].append(float(pixels.min()))
        result["maximum"].append(float(pixels.max()))
    return result


def _cell_units(wkt: str) -> str:
    if not wkt:
        return ""
    return "degree" if wkt.lstrip().startswith(("GEOGCS", "GEOGCRS")) else "metre"
