"""Scores of super-resolved rasters, side by side over the same pixels.

A raster is held as float64 ``[rows, columns]`` with a boolean mask of valid pixels. All candidates
of a comparison are scored where the truth and every candidate are valid, so that no row of the
table owes anything to the pixels it was judged on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from deeplight import _native, baselines, metrics

__all__ = [
    "COLUMNS",
    "Comparison",
    "Image",
    "check_same_extent",
    "compare",
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


@dataclass(frozen=True)
class Column:
    """One column of the table: how a score is computed and printed."""

    key: str
    label: str
    digits: int
    compute: Callable[..., torch.Tensor]


def _psnr(p: torch.Tensor, t: torch.Tensor, mask: torch.Tensor, lit: torch.Tensor, r: float) -> Any:
    return metrics.psnr(p, t, data_range=r, mask=mask)


def _ssim(p: torch.Tensor, t: torch.Tensor, mask: torch.Tensor, lit: torch.Tensor, r: float) -> Any:
    if min(t.shape[-2:]) < 11:
        return torch.tensor(math.nan)
    return metrics.ssim(p, t, data_range=r, mask=mask)


def _lit_ssim(
    p: torch.Tensor, t: torch.Tensor, mask: torch.Tensor, lit: torch.Tensor, r: float
) -> Any:
    if min(t.shape[-2:]) < 11:
        return torch.tensor(math.nan)
    return metrics.ssim(p, t, data_range=r, mask=mask, where=lit)


#: The table's columns, in order. A new score is one more entry.
COLUMNS = (
    Column("psnr", "PSNR", 2, _psnr),
    Column("ssim", "SSIM", 4, _ssim),
    Column("rmse", "RMSE", 3, lambda p, t, m, lit, r: metrics.rmse(p, t, mask=m)),
    Column("cc", "CC", 4, lambda p, t, m, lit, r: metrics.cc(p, t, mask=m)),
    Column("light", "light", 3, lambda p, t, m, lit, r: metrics.total_light_ratio(p, t, mask=m)),
    Column("lit_psnr", "lit PSNR", 2, lambda p, t, m, lit, r: _psnr(p, t, m & lit, lit, r)),
    Column("lit_ssim", "lit SSIM", 4, _lit_ssim),
    Column("lit_rmse", "lit RMSE", 3, lambda p, t, m, lit, r: metrics.rmse(p, t, mask=m & lit)),
    Column("lit_cc", "lit CC", 4, lambda p, t, m, lit, r: metrics.cc(p, t, mask=m & lit)),
)


def score(
    prediction: torch.Tensor,
    truth: torch.Tensor,
    *,
    data_range: float,
    valid: torch.Tensor | None = None,
    lit_threshold: float = 0.0,
) -> dict[str, float]:
    """Every score of one prediction.

    Args:
        prediction: ``[rows, columns]``.
        truth: the same shape and units.
        data_range: peak of the units.
        valid: boolean; other pixels take no part.
        lit_threshold: lit pixels are those with truth above it. Lit scores are over lit pixels; lit
            SSIM is the SSIM map averaged over windows whose centre is lit.

    Returns:
        ``COLUMNS`` keys and values; NaN where a score has no pixel to stand on, SSIM also where
        the image is smaller than its window.
    """
    mask = torch.ones_like(truth, dtype=torch.bool) if valid is None else valid
    lit = metrics.lit_mask(truth, lit_threshold)
    return {c.key: float(c.compute(prediction, truth, mask, lit, data_range)) for c in COLUMNS}


@dataclass
class Comparison:
    """Candidates against one truth."""

    truth: Image
    candidates: dict[str, Image]
    rows: dict[str, dict[str, float]]  #: candidate -> scores
    data_range: float
    lit_threshold: float
    valid_share: float  #: of the truth's pixels, those that every row is scored on
    lit_share: float  #: of the scored pixels, those above the threshold in the truth
    low_resolution: Image | None = None
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: NaN becomes None, infinity the string "inf"."""

        def plain(value: float) -> float | str | None:
            if math.isnan(value):
                return None
            return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")

        return {
            "data_range": self.data_range,
            "lit_threshold": self.lit_threshold,
            "valid_share": self.valid_share,
            "lit_share": self.lit_share,
            "notes": self.notes,
            "rows": [
                {"name": name, **{key: plain(value) for key, value in scores.items()}}
                for name, scores in self.rows.items()
            ],
        }


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


def check_same_extent(coarse: Any, fine: Any, name: str, scale: int) -> None:
    """Both rasters share coordinate system and extent, the fine one with `scale` times the cells.

    Raises:
        ValueError: names both files and both values.
    """
    try:
        _native.check_guide(coarse, fine, name, scale)
    except ValueError as error:
        # The check was made for guides; only its first words are about them.
        text = str(error).replace(f"guide '{name}'", f"the {name}", 1)
        if scale == 1:
            text = text.replace(" = 1 x low resolution", " =", 1)
        raise ValueError(text) from None


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

    Raises:
        ValueError: sizes do not fit, or the window leaves the truth.
    """
    rows, columns = truth.values.shape
    images = dict(candidates)
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
        if low is not None:
            low = low.cropped(tuple(value // factor for value in window))  # type: ignore[arg-type]

    valid = truth.valid.clone()
    for image in images.values():
        valid &= image.valid
    notes = []
    missing = {n: int((truth.valid & ~i.valid).sum()) for n, i in images.items()}
    for name, count in missing.items():
        if count:
            notes.append(
                f"{name} has no value at {count} of the truth's pixels; no row counts them"
            )
    if not valid.any():
        raise ValueError("no pixel is valid in the truth and in every candidate")
    table = {
        name: score(
            image.values,
            truth.values,
            data_range=data_range,
            valid=valid,
            lit_threshold=lit_threshold,
        )
        for name, image in images.items()
    }
    lit = metrics.lit_mask(truth.values, lit_threshold) & valid
    return Comparison(
        truth=truth,
        candidates=images,
        rows=table,
        data_range=data_range,
        lit_threshold=lit_threshold,
        valid_share=float(valid.double().mean()),
        lit_share=float(lit.sum() / valid.sum()),
        low_resolution=low,
        notes=notes,
    )
