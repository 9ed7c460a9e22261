"""Prediction of dask arrays: one task for each tile, the statistics of an image once.

The tiles, their halos and the operations are those of the engine for files, so that the values are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import dask
import dask.array as da
import numpy as np
import torch
import xarray as xr

from . import _native
from .array_grid import Raster, fill_value, grid_of, spatial_dims, to_array, valid_values
from .predictor import Predictor

Window = tuple[int, int, int, int]


def predict_lazily(
    predictor: Predictor,
    array: xr.DataArray,
    guides: Mapping[str, Raster],
    tile: int,
    consistency: str,
) -> da.Array:
    """float32 [..., r*y, r*x], computed tile by tile when asked for.

    Everything that can be checked without reading values is checked here.

    Raises:
        ValueError: guides missing, unknown, of another grid or number of bands.
    """
    if consistency not in ("none", "additive", "multiplicative"):
        raise ValueError(f"consistency is none, additive or multiplicative, got '{consistency}'")
    network, scale = predictor.network, predictor.scale
    rows, columns = (array.sizes[dim] for dim in spatial_dims(array))
    sources = _guides(predictor, array, guides)
    preprocessor = _preprocessor(predictor.card)
    halo = network.margin + preprocessor.margin
    plan = _native.tile_plan(rows, columns, tile, halo, network.native.tile_multiple())
    across = len([None for owner, _ in plan if owner[0] == 0])

    model = dask.delayed(predictor, pure=True, traverse=False)
    fill = fill_value(array)
    lazy = array.data if hasattr(array.data, "__dask_graph__") else da.from_array(array.data)
    images = lazy.reshape(-1, rows, columns)
    tasks: list[list[Any]] = [[] for _ in range(images.shape[0])]
    states = [
        dask.delayed(_Image, pure=True)(model, images[index], fill)
        for index in range(images.shape[0])
    ]
    prepare = dask.delayed(_prepared_guide, pure=True)
    compute = dask.delayed(_tile, pure=True)
    for owner, read in plan:
        window = tuple(scale * side for side in read)
        parts = {  # one node, whatever the number of images: guides are read once
            name: prepare(predictor.card, name, _cut(source, window), fill_value(source))
            for name, source in sources.items()
        }
        shape = (scale * owner[2], scale * owner[3])
        for index, state in enumerate(states):
            done = compute(model, state, owner, read, parts, consistency)
            tasks[index].append(da.from_delayed(done, shape, np.float32))
    fine = []
    for blocks in tasks:
        lines = [blocks[start : start + across] for start in range(0, len(blocks), across)]
        fine.append(da.block(lines))
    return da.stack(fine).reshape(*array.shape[:-2], scale * rows, scale * columns)


class _Image:
    """A whole low-resolution image, normalised, with its statistics; once in each process."""

    def __init__(self, predictor: Predictor, values: np.ndarray, fill: float | None):
        self.values = np.ascontiguousarray(values, np.float32)
        self.valid = valid_values(np.asarray(values), fill)
        self.fill = fill
        self.predictor = predictor
        if not self.valid.any():
            raise ValueError("the low resolution has no valid pixel: all are missing")
        if (self.values[self.valid] < 0).any():
            self.negative = True
        else:
            self.negative = False
        self.values = np.where(self.valid, self.values, np.float32(0))
        with torch.no_grad():
            self.normalised = _preprocessor(predictor.card).low_resolution(
                torch.from_numpy(self.values)[None, None], torch.from_numpy(self.valid)[None, None]
            )
            self.statistics = predictor.network.image_statistics(self.normalised)

    def __reduce__(self) -> tuple[Any, ...]:
        """By its input: statistics are native objects, and cheap beside a tile."""
        values = np.where(self.valid, self.values, np.float32(np.nan))
        return _Image, (self.predictor, values, None)


def _tile(
    predictor: Predictor,
    image: _Image,
    owner: Window,
    read: Window,
    guides: dict[str, torch.Tensor],
    consistency: str,
) -> np.ndarray:
    """[r*rows, r*columns] of the owner; NaN where the input is missing."""
    if consistency == "multiplicative" and image.negative:
        raise ValueError("multiplicative consistency needs light of at least 0")
    network, scale = predictor.network, predictor.scale
    part = (owner[0] - read[0], owner[1] - read[1], owner[2], owner[3])
    low = image.normalised[..., read[0] : read[0] + read[2], read[1] : read[1] + read[3]]
    own = (slice(owner[0], owner[0] + owner[2]), slice(owner[1], owner[1] + owner[3]))
    with torch.no_grad():
        fine = network.native.forward_part(
            low, guides, part, image.statistics.for_tile(read[0], read[1])
        )
        fine = _preprocessor(predictor.card).restore(fine)
        if consistency != "none":
            coarse = torch.from_numpy(image.values[own])[None, None]
            fine = _native.functional.enforce_block_mean(fine, coarse, scale, consistency)
    seen = np.kron(image.valid[own], np.ones((scale, scale), bool))
    values = fine[0, 0].numpy()
    return np.where(seen & np.isfinite(values), values, np.float32(np.nan))


def _prepared_guide(
    card: Mapping[str, Any], name: str, values: np.ndarray, fill: float | None
) -> torch.Tensor:
    """Values [bands, rows, columns] of a window -> normalised [1, channels, rows, columns]."""
    valid = valid_values(np.asarray(values), fill)
    clean = np.where(valid, values, 0).astype(np.float32)
    return _preprocessor(card).guide(
        name, torch.from_numpy(clean)[None], torch.from_numpy(valid)[None]
    )


def _guides(
    predictor: Predictor, array: xr.DataArray, guides: Mapping[str, Raster]
) -> dict[str, xr.DataArray]:
    known = predictor.guides
    for name in [*guides, *known]:
        if name not in known or name not in guides:
            state = "not known" if name not in known else "missing"
            raise ValueError(
                f"guide '{name}' is {state}; these weights take: {', '.join(known) or 'no guides'}"
            )
    low = grid_of(array)
    sources: dict[str, xr.DataArray] = {}
    for name, bands in known.items():
        guide = to_array(guides[name])
        if guide.ndim == 2:
            guide = guide.expand_dims("band")
        if guide.ndim != 3 or guide.shape[0] != bands:
            raise ValueError(f"guide '{name}' must be [{bands}, y, x], got {dict(guide.sizes)}")
        _check_grid(low, grid_of(guide, low.crs_wkt), name, predictor.scale)
        sources[name] = guide
    return sources


def _check_grid(low: _native.Grid, guide: _native.Grid, name: str, scale: int) -> None:
    fine = low.refined(scale)
    if (guide.rows, guide.columns) != (fine.rows, fine.columns):
        raise ValueError(
            f"guide '{name}' is {guide.columns}x{guide.rows}, expected {fine.columns}x{fine.rows} "
            f"= {scale} x low resolution"
        )
    if low.crs_wkt and not low.same_crs(guide):
        raise ValueError(f"guide '{name}' is in {guide.crs}, expected {low.crs}")
    if low.georeferenced and guide.georeferenced:
        here, there = np.array(guide.geotransform), np.array(fine.geotransform)
        cell = min(fine.cell_size)
        sizes = np.array([0, fine.columns, fine.columns, 0, fine.rows, fine.rows])
        if (
            np.abs((here - there)[[0, 3]]).max() + np.abs((here - there) * sizes).max()
            > 1e-3 * cell
        ):
            raise ValueError(f"guide '{name}' covers another ground than the low resolution")


def _cut(array: xr.DataArray, window: tuple[int, ...]) -> Any:
    row, column, rows, columns = window
    return array.data[:, row : row + rows, column : column + columns]


def _preprocessor(card: Mapping[str, Any]) -> _native.Preprocessor:
    return _native.Preprocessor(json.dumps(card["preprocessing"]), card["scale"])
