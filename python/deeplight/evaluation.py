"""Scores of super-resolved rasters, side by side over the same pixels.

A raster is held as float64 ``[rows, columns]`` with a boolean mask of valid pixels. All candidates
of a comparison are scored where the truth and every candidate are valid, so that no row of the
table owes anything to the pixels it was judged on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from deeplight import _native, baselines, metrics
from deeplight.score_table import COLUMNS, Extras, ScoreTable, columns_of, score

__all__ = [
    "COLUMNS",
    "Comparison",
    "Extras",
    "Image",
    "check_comparable",
    "compare",
    "compare_files",
    "read_image",
    "score",
]


@dataclass
class Image:
    """One band of a raster in memory."""

    values: torch.Tensor  #: [rows, columns], float64, 0 where invalid
    valid: torch.Tensor  #: [rows, columns], boolean
    info: Any = None  #: RasterInfo of the file, where there is one

    def cropped(self, window: tuple[int, int, int, int]) -> Image:
        """The part at (row, column, rows, columns)."""
        row, column, rows, columns = window
        part = (slice(row, row + rows), slice(column, column + columns))
        return Image(self.values[part], self.valid[part], self.info)


@dataclass(kw_only=True)
class Comparison(ScoreTable):
    """Candidates against one truth, with the images."""

    truth: Image
    candidates: dict[str, Image]
    valid: torch.Tensor  #: [rows, columns], boolean: the pixels that every row is scored on
    low_resolution: Image | None = None


def read_image(path: str | Path, band: int = 0) -> Image:
    """Reads one band of a raster with its validity (nodata, NaN, mask bands).

    Raises:
        OSError: the file is missing or unreadable.
        ValueError: it is no raster, or has no such band.
    """
    raster = _native.Raster(str(path))
    values, valid = raster.read(bands=[band])
    return Image(
        torch.from_numpy(values)[0].double(), torch.from_numpy(valid)[0].bool(), raster.info
    )


def check_comparable(coarse: Any, fine: Any, name: str, scale: int) -> None:
    """Both rasters share coordinate system and extent, the fine one with `scale` times the cells.

    Raises:
        ValueError: names both files and both values; also of kelvin beside degrees Celsius.
    """
    _native.check_comparable(coarse, fine, name, scale)


def _bicubic_rows(low_resolution: Image, scale: int) -> dict[str, Image]:
    low = low_resolution.values
    valid = low_resolution.valid.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    plain = baselines.bicubic(low, scale)
    # Consistency needs light that can be shared out: noise below zero is not.
    shared = baselines.consistent(plain, low.clamp_min(0), scale)
    return {"bicubic": Image(plain, valid), "bicubic + block mean": Image(shared, valid)}


def compare(
    truth: Image,
    candidates: Mapping[str, Image],
    *,
    data_range: float,
    low_resolution: Image | None = None,
    scale: int | None = None,
    lit_threshold: float = 0.0,
    window: tuple[int, int, int, int] | None = None,
    everything: bool = False,
    extras: Extras | None = None,
    zones: torch.Tensor | None = None,
) -> Comparison:
    """Scores candidates, and the bicubic baselines, over the pixels that all of them have.

    Args:
        truth: the fine raster.
        candidates: name -> image on the truth's grid; their order is the table's.
        data_range: peak of the units.
        low_resolution: adds the baselines; the same units as the truth.
        scale: the integer factor; that of the sizes when None.
        lit_threshold: see :func:`score`.
        window: (row, column, rows, columns) of the truth to score; the whole when None. Baselines
            are computed before cropping.
        everything: all of ``COLUMNS`` instead of those that matter most.
        extras: a saturation level, bins of brightness, a model of NIQE, the least peak of a source:
            columns after the others.
        zones: labels of cities on the truth's grid, integers, 0 for none; adds their regression.

    Raises:
        ValueError: sizes do not fit, or the window leaves the truth.
    """
    rows, columns = truth.values.shape
    images = dict(candidates)
    factor = scale
    if low_resolution is not None:
        factor = scale or max(1, rows // low_resolution.values.shape[0])
        expected = tuple(factor * side for side in low_resolution.values.shape)
        if expected != (rows, columns):
            raise ValueError(
                f"the truth is {rows}x{columns}, expected {expected[0]}x{expected[1]} = {factor} x "
                "low resolution"
            )
        images |= _bicubic_rows(low_resolution, factor)
    for name, image in images.items():
        if image.values.shape != truth.values.shape:
            raise ValueError(
                f"{name} is {image.values.shape[0]}x{image.values.shape[1]}, the truth "
                f"{rows}x{columns}"
            )
    low = low_resolution
    if window is not None:
        row, column, height, width = window
        if min(row, column) < 0 or min(height, width) < 1:
            raise ValueError(f"the window {window} is empty or starts before the raster")
        if row + height > rows or column + width > columns:
            raise ValueError(f"the window {window} leaves the truth of {rows}x{columns}")
        truth = truth.cropped(window)
        images = {name: image.cropped(window) for name, image in images.items()}
        if zones is not None:
            zones = zones[row : row + height, column : column + width]
        if low is not None and factor is not None:
            low = low.cropped(tuple(value // factor for value in window))  # type: ignore[arg-type]

    valid = truth.valid.clone()
    for image in images.values():
        valid &= image.valid
    notes = []
    missing = {n: int((truth.valid & ~i.valid).sum()) for n, i in images.items()}
    for name, count in missing.items():
        if count:
            notes.append(_missing_note(name, count))
    peak = float(truth.values[truth.valid].max()) if truth.valid.any() else 0.0
    if peak > data_range:
        notes.append(_range_note(peak, data_range))
    if not valid.any():
        raise ValueError("no pixel is valid in the truth and in every candidate")
    shown = columns_of(everything, replace(extras or Extras(), zones=zones is not None))
    table = {
        name: score(
            image.values,
            truth.values,
            data_range=data_range,
            valid=valid,
            lit_threshold=lit_threshold,
            scale=factor,
            columns=shown,
            zones=zones,
        )
        for name, image in images.items()
    }
    lit = metrics.lit_mask(truth.values, lit_threshold) & valid
    return Comparison(
        truth=truth,
        candidates=images,
        valid=valid,
        shape=(truth.values.shape[0], truth.values.shape[1]),
        rows=table,
        data_range=data_range,
        lit_threshold=lit_threshold,
        valid_share=float(valid.double().mean()),
        lit_share=int(lit.sum()) / int(valid.sum()),
        low_resolution=low,
        notes=notes,
        columns=shown,
    )


def compare_files(
    truth: str | Path,
    candidates: Mapping[str, str | Path],
    *,
    data_range: float,
    low_resolution: str | Path | None = None,
    scale: int | None = None,
    lit_threshold: float = 0.0,
    window: tuple[int, int, int, int] | None = None,
    everything: bool = False,
    extras: Extras | None = None,
    zones: str | Path | None = None,
    error_map: str | Path | None = None,
    progress: Callable[[int, int], bool | None] | None = None,
) -> ScoreTable:
    """:func:`compare` of rasters of any size: read by blocks, valued as whole images.

    Args:
        truth: the fine raster.
        candidates: name -> raster on the truth's grid.
        data_range: peak of the units.
        low_resolution: adds the bicubic rows.
        scale: the integer factor; that of the sizes when None.
        lit_threshold: lit pixels are those with truth above it.
        window: (row, column, rows, columns) of the truth to score; the whole when None.
        everything: all of ``COLUMNS`` instead of those that matter most.
        extras: see :func:`compare`.
        zones: a raster of labels on the truth's grid, or polygons (GeoJSON, GeoPackage, shapefile,
            FlatGeobuf): cities whose sums of lights are compared.
        error_map: raster to write, first candidate - truth; replaced where it exists.
        progress: called with rows done and in all; False cancels.

    Raises:
        OSError: a file is missing, or the error map cannot be written.
        ValueError: rasters on different grids, a damaged file, no valid pixel.
    """
    more = replace(extras or Extras(), zones=zones is not None)
    result = _native.score_rasters(
        truth,
        list(candidates.items()),
        data_range=data_range,
        low_resolution=low_resolution,
        scale=scale or 0,
        lit_threshold=lit_threshold,
        window=window,
        everything=everything,
        error_map=error_map,
        zones=zones,
        saturation=more.saturation,
        brightness_edges=list(more.edges),
        niqe_model=more.niqe_model,
        min_peak=more.min_peak,
        progress=progress,
    )
    columns = columns_of(everything, more)
    notes = [_missing_note(r["name"], r["missing"]) for r in result["rasters"] if r["missing"]]
    if result["truth_maximum"] > data_range:
        notes.append(_range_note(result["truth_maximum"], data_range))
    return ScoreTable(
        rows={
            r["name"]: {c.key: r["scores"].get(c.key, float("nan")) for c in columns}
            for r in result["rasters"]
        },
        columns=columns,
        shape=(result["rows"], result["columns"]),
        data_range=data_range,
        lit_threshold=lit_threshold,
        valid_share=result["valid"] / (result["rows"] * result["columns"]),
        lit_share=result["lit"] / result["valid"],
        notes=notes,
    )


def _missing_note(name: str, count: int) -> str:
    return f"{name} has no value at {count} of the truth's pixels; no row counts them"


def _range_note(peak: float, data_range: float) -> str:
    return f"the truth reaches {peak:g}, above the data range of {data_range:g}"
