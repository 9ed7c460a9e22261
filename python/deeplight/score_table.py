"""The scores of an evaluation: one entry each, in the order of the table.

Scores are of one band, ``[rows, columns]`` in float64, over the pixels that are valid in the truth
and in every candidate. A lit score is over the pixels whose truth is above the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from deeplight import metrics
from deeplight._native import metrics as _scores

__all__ = [
    "COLUMNS",
    "Column",
    "Pair",
    "ScoreTable",
    "columns_of",
    "grouped",
    "plain_number",
    "score",
]


@dataclass(frozen=True)
class Pair:
    """A candidate and the truth."""

    prediction: torch.Tensor  #: [rows, columns]
    truth: torch.Tensor  #: the same shape and units
    valid: torch.Tensor  #: boolean; other pixels take no part
    lit: torch.Tensor  #: boolean, truth above the threshold
    data_range: float
    lit_threshold: float = 0.0
    scale: int | None = None  #: fine pixels per low-resolution pixel, where that is known

    @property
    def valid_lit(self) -> torch.Tensor:
        """Pixels of a lit score."""
        return self.valid & self.lit


@dataclass(frozen=True)
class Column:
    """One score: how it is named, computed and printed."""

    key: str  #: in JSON and CSV
    label: str  #: of the table
    digits: int
    group: str  #: "all pixels", "lit pixels" or "light"
    compute: Callable[[Pair], Any]
    best: str = "high"  #: "high", "low", "one", "zero"
    shown: bool = True  #: without --all

    def text(self, value: float) -> str:
        """A value as people read it; a dash where it is not defined."""
        return "-" if math.isnan(value) else f"{value:.{self.digits}f}"


def _windowed(function: Callable[..., Any], side: int, lit: bool = False) -> Callable[[Pair], Any]:
    """A score over windows, NaN where the image is smaller than one."""

    def compute(pair: Pair) -> Any:
        if min(pair.truth.shape[-2:]) < side:
            return math.nan
        options = {"where": pair.lit} if lit else {}
        return function(
            pair.prediction,
            pair.truth,
            data_range=pair.data_range,
            mask=pair.valid,
            **options,
        )

    return compute


def _ranged(function: Callable[..., Any], lit: bool = False) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        mask = pair.valid_lit if lit else pair.valid
        return function(pair.prediction, pair.truth, data_range=pair.data_range, mask=mask)

    return compute


def _plain(function: Callable[..., Any], lit: bool = False) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        return function(pair.prediction, pair.truth, mask=pair.valid_lit if lit else pair.valid)

    return compute


def _uiqi(lit: bool = False) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        if min(pair.truth.shape[-2:]) < 8:
            return math.nan
        where = pair.lit if lit else None
        return _scores.uiqi(pair.prediction, pair.truth, mask=pair.valid, where=where)

    return compute


def _image_sam(lit: bool = False) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        mask = pair.valid_lit if lit else pair.valid
        return _scores.sam(pair.prediction, pair.truth, vectors="image", mask=mask)

    return compute


def _ergas(pair: Pair) -> Any:
    if pair.scale is None:
        return math.nan
    return _scores.ergas(pair.prediction, pair.truth, ratio=1 / pair.scale, mask=pair.valid)


def _lit_share(function: Callable[..., Any]) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        return function(pair.prediction, pair.truth, threshold=pair.lit_threshold, mask=pair.valid)

    return compute


def _more(key: str, label: str, digits: int, group: str, compute: Any, best: str) -> Column:
    return Column(key, label, digits, group, compute, best, shown=False)


_ALL, _LIT, _LIGHT = "all pixels", "lit pixels", "light"

#: Every score, in the order of the table. A new one is one more entry here and, to be streamed, in
#: infer/raster_scores_inl.hpp.
COLUMNS = (
    Column("psnr", "PSNR", 2, _ALL, _ranged(metrics.psnr)),
    Column("ssim", "SSIM", 4, _ALL, _windowed(metrics.ssim, 11)),
    _more("uiqi", "UIQI", 4, _ALL, _uiqi(), "high"),
    Column("rmse", "RMSE", 3, _ALL, _plain(metrics.rmse), "low"),
    _more("mae", "MAE", 3, _ALL, _plain(_scores.mae), "low"),
    _more("bias", "bias", 3, _ALL, _plain(_scores.bias), "zero"),
    _more("rsd", "RSD", 4, _ALL, _plain(_scores.rsd), "low"),
    _more("r2", "R2", 4, _ALL, _plain(_scores.r2), "high"),
    Column("cc", "CC", 4, _ALL, _plain(metrics.cc)),
    _more("sam", "SAM (image)", 4, _ALL, _image_sam(), "low"),
    _more("ergas", "ERGAS", 3, _ALL, _ergas, "low"),
    Column("light", "light", 3, _LIGHT, _plain(metrics.total_light_ratio), "one"),
    _more("lit_precision", "lit precision", 4, _LIGHT, _lit_share(_scores.lit_precision), "high"),
    _more("lit_recall", "lit recall", 4, _LIGHT, _lit_share(_scores.lit_recall), "high"),
    _more("lit_f1", "lit F1", 4, _LIGHT, _lit_share(_scores.lit_f1), "high"),
    Column("lit_psnr", "lit PSNR", 2, _LIT, _ranged(metrics.psnr, lit=True)),
    Column("lit_ssim", "lit SSIM", 4, _LIT, _windowed(metrics.ssim, 11, lit=True)),
    _more("lit_uiqi", "lit UIQI", 4, _LIT, _uiqi(lit=True), "high"),
    Column("lit_rmse", "lit RMSE", 3, _LIT, _plain(metrics.rmse, lit=True), "low"),
    _more("lit_mae", "lit MAE", 3, _LIT, _plain(_scores.mae, lit=True), "low"),
    _more("lit_bias", "lit bias", 3, _LIT, _plain(_scores.bias, lit=True), "zero"),
    _more("lit_rsd", "lit RSD", 4, _LIT, _plain(_scores.rsd, lit=True), "low"),
    _more("lit_r2", "lit R2", 4, _LIT, _plain(_scores.r2, lit=True), "high"),
    Column("lit_cc", "lit CC", 4, _LIT, _plain(metrics.cc, lit=True)),
    _more("lit_sam", "lit SAM (image)", 4, _LIT, _image_sam(lit=True), "low"),
)


def columns_of(everything: bool = False) -> tuple[Column, ...]:
    """The columns of a table: those that matter most, or all."""
    return tuple(column for column in COLUMNS if everything or column.shown)


def grouped(columns: Sequence[Column]) -> Iterator[tuple[str, list[Column]]]:
    """Columns by group, groups in the order of their first columns."""
    for group in dict.fromkeys(column.group for column in columns):
        yield group, [column for column in columns if column.group == group]


def score(
    prediction: torch.Tensor,
    truth: torch.Tensor,
    *,
    data_range: float,
    valid: torch.Tensor | None = None,
    lit_threshold: float = 0.0,
    scale: int | None = None,
    columns: Sequence[Column] | None = None,
) -> dict[str, float]:
    """Scores of one prediction.

    Args:
        prediction: ``[rows, columns]``.
        truth: the same shape and units.
        data_range: peak of the units.
        valid: boolean; other pixels take no part.
        lit_threshold: lit pixels are those with truth above it. Lit scores are over lit pixels; lit
            SSIM is the SSIM map averaged over windows whose centre is lit.
        scale: fine pixels per low-resolution pixel, for scores that need it; they are NaN without.
        columns: what to compute; what ``deeplight evaluate`` shows when None.

    Returns:
        Keys of the columns and values; NaN where a score has no pixel to stand on, SSIM also where
        the image is smaller than its window.
    """
    pair = Pair(
        prediction,
        truth,
        torch.ones_like(truth, dtype=torch.bool) if valid is None else valid,
        metrics.lit_mask(truth, lit_threshold),
        data_range,
        lit_threshold,
        scale,
    )
    chosen = columns_of() if columns is None else columns
    return {column.key: float(column.compute(pair)) for column in chosen}


@dataclass(kw_only=True)
class ScoreTable:
    """Scores of candidates against one truth."""

    rows: dict[str, dict[str, float]]  #: candidate -> scores
    columns: tuple[Column, ...]  #: of the rows
    shape: tuple[int, int]  #: rows and columns of what was compared
    data_range: float
    lit_threshold: float
    valid_share: float  #: of the truth's pixels, those that every row is scored on
    lit_share: float  #: of the scored pixels, those above the threshold in the truth
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: NaN becomes None, infinity the string "inf"."""
        return {
            "data_range": self.data_range,
            "lit_threshold": self.lit_threshold,
            "valid_share": self.valid_share,
            "lit_share": self.lit_share,
            "notes": self.notes,
            "rows": [
                {"name": name, **{key: plain_number(value) for key, value in scores.items()}}
                for name, scores in self.rows.items()
            ],
        }


def plain_number(value: float) -> float | str | None:
    """A score as JSON has it: NaN is None, infinity the string "inf"."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")
