"""The columns of an evaluation's table: what each score is called, computed and printed.

Scores are of one band, ``[rows, columns]`` in float64, over the pixels that are valid in the truth
and in every candidate. A lit score is over the pixels whose truth is above the threshold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch

from deeplight import metrics

__all__ = ["COLUMNS", "Column", "Extras", "Pair", "columns_of", "grouped"]


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
    zones: torch.Tensor | None = None  #: labels of zones, integers; 0: none

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
    group: str  #: "all pixels", "lit pixels", "light", ...
    compute: Callable[[Pair], Any]
    best: str = "high"  #: "high", "low", "one", "zero" or "none"
    shown: bool = True  #: without --all

    def text(self, value: float) -> str:
        """A value as people read it; a dash where it is not defined."""
        return "-" if math.isnan(value) else f"{value:.{self.digits}f}"


def _windowed(
    function: Callable[..., Any],
    side: int = 0,
    *,
    lit: bool = False,
    ranged: bool = False,
    **options: Any,
) -> Callable[[Pair], Any]:
    """A score over windows, NaN where the image is smaller than ``side``.

    A lit one counts the windows of lit pixels; what lies around them takes part in a window.
    """

    def compute(pair: Pair) -> Any:
        if min(pair.truth.shape[-2:]) < side:
            return math.nan
        ranges = {"data_range": pair.data_range} if ranged else {}
        where = pair.lit if lit else None
        return function(
            pair.prediction, pair.truth, mask=pair.valid, where=where, **ranges, **options
        )

    return compute


def _pixelwise(
    function: Callable[..., Any], *, lit: bool = False, ranged: bool = False, **options: Any
) -> Callable[[Pair], Any]:
    """A score over pixels, all or lit."""

    def compute(pair: Pair) -> Any:
        ranges = {"data_range": pair.data_range} if ranged else {}
        mask = pair.valid_lit if lit else pair.valid
        return function(pair.prediction, pair.truth, mask=mask, **ranges, **options)

    return compute


def _ergas(lit: bool = False) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        if pair.scale is None:
            return math.nan
        mask = pair.valid_lit if lit else pair.valid
        return metrics.ergas(pair.prediction, pair.truth, ratio=1 / pair.scale, mask=mask)

    return compute


def _entropy(lit: bool = False) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        mask = pair.valid_lit if lit else pair.valid
        return metrics.entropy(pair.prediction, data_range=pair.data_range, mask=mask)

    return compute


def _alone(
    function: Callable[..., Any], *, lit: bool = False, ranged: bool = False, **options: Any
) -> Callable[[Pair], Any]:
    """A score over windows that needs no truth."""

    def compute(pair: Pair) -> Any:
        ranges = {"data_range": pair.data_range} if ranged else {}
        where = pair.lit if lit else None
        return function(pair.prediction, mask=pair.valid, where=where, **ranges, **options)

    return compute


def _lit_share(function: Callable[..., Any]) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        return function(pair.prediction, pair.truth, threshold=pair.lit_threshold, mask=pair.valid)

    return compute


def _more(key: str, label: str, digits: int, group: str, compute: Any, best: str) -> Column:
    return Column(key, label, digits, group, compute, best, shown=False)


_ssim = partial(_windowed, metrics.ssim, 11, ranged=True)
_ms_ssim = partial(_windowed, metrics.ms_ssim, 176, ranged=True)
_uiqi = partial(_windowed, metrics.uiqi, 8)
_gradient = partial(_windowed, metrics.gradient_error)
_spectral = partial(_windowed, metrics.spectral_error, 64, statistic="log")
_psnr = partial(_pixelwise, metrics.psnr, ranged=True)
_image_sam = partial(_pixelwise, metrics.sam, vectors="image")
_piqe = partial(_alone, metrics.piqe, ranged=True, stretch="range")

_ALL, _LIT, _LIGHT = "all pixels", "lit pixels", "light"
_ALONE, _CORES, _CITIES = "without the truth", "saturated cores", "cities"
_SOURCES = "isolated sources"

#: Every score, in the order of the table. A new one is one more entry here and, to be streamed, in
#: infer/raster_scores_inl.hpp.
COLUMNS = (
    Column("psnr", "PSNR", 2, _ALL, _psnr()),
    Column("ssim", "SSIM", 4, _ALL, _ssim()),
    _more("ms_ssim", "MS-SSIM", 4, _ALL, _ms_ssim(), "high"),
    _more("uiqi", "UIQI", 4, _ALL, _uiqi(), "high"),
    _more("gradient", "gradient error", 3, _ALL, _gradient(), "low"),
    _more("spectral", "spectral error, dB", 2, _ALL, _spectral(), "low"),
    Column("rmse", "RMSE", 3, _ALL, _pixelwise(metrics.rmse), "low"),
    _more("mae", "MAE", 3, _ALL, _pixelwise(metrics.mae), "low"),
    _more("bias", "bias", 3, _ALL, _pixelwise(metrics.bias), "zero"),
    _more("rsd", "RSD", 4, _ALL, _pixelwise(metrics.rsd), "low"),
    _more("r2", "R2", 4, _ALL, _pixelwise(metrics.r2), "high"),
    Column("cc", "CC", 4, _ALL, _pixelwise(metrics.cc)),
    _more("sam", "SAM (image)", 4, _ALL, _image_sam(), "low"),
    _more("ergas", "ERGAS", 3, _ALL, _ergas(), "low"),
    Column("light", "light", 3, _LIGHT, _pixelwise(metrics.total_light_ratio), "one"),
    _more("lit_precision", "lit precision", 4, _LIGHT, _lit_share(metrics.lit_precision), "high"),
    _more("lit_recall", "lit recall", 4, _LIGHT, _lit_share(metrics.lit_recall), "high"),
    _more("lit_f1", "lit F1", 4, _LIGHT, _lit_share(metrics.lit_f1), "high"),
    Column("lit_psnr", "lit PSNR", 2, _LIT, _psnr(lit=True)),
    Column("lit_ssim", "lit SSIM", 4, _LIT, _ssim(lit=True)),
    _more("lit_ms_ssim", "lit MS-SSIM", 4, _LIT, _ms_ssim(lit=True), "high"),
    _more("lit_uiqi", "lit UIQI", 4, _LIT, _uiqi(lit=True), "high"),
    _more("lit_gradient", "lit gradient error", 3, _LIT, _gradient(lit=True), "low"),
    _more("lit_spectral", "lit spectral error, dB", 2, _LIT, _spectral(lit=True), "low"),
    Column("lit_rmse", "lit RMSE", 3, _LIT, _pixelwise(metrics.rmse, lit=True), "low"),
    _more("lit_mae", "lit MAE", 3, _LIT, _pixelwise(metrics.mae, lit=True), "low"),
    _more("lit_bias", "lit bias", 3, _LIT, _pixelwise(metrics.bias, lit=True), "zero"),
    _more("lit_rsd", "lit RSD", 4, _LIT, _pixelwise(metrics.rsd, lit=True), "low"),
    _more("lit_r2", "lit R2", 4, _LIT, _pixelwise(metrics.r2, lit=True), "high"),
    Column("lit_cc", "lit CC", 4, _LIT, _pixelwise(metrics.cc, lit=True)),
    _more("lit_sam", "lit SAM (image)", 4, _LIT, _image_sam(lit=True), "low"),
    _more("lit_ergas", "lit ERGAS", 3, _LIT, _ergas(lit=True), "low"),
    _more("piqe", "PIQE", 2, _ALONE, _piqe(), "low"),
    _more("lit_piqe", "lit PIQE", 2, _ALONE, _piqe(lit=True), "low"),
    _more("entropy", "entropy, bits", 3, _ALONE, _entropy(), "none"),
    _more("lit_entropy", "lit entropy, bits", 3, _ALONE, _entropy(lit=True), "none"),
    *(
        _more(f"{lit}{key}", f"{lit}{label}".replace("_", " "), digits, _ALONE, compute, "none")
        for key, label, digits, function in (
            ("average_gradient", "average gradient", 3, metrics.average_gradient),
            ("laplacian_variance", "Laplacian variance", 2, metrics.laplacian_variance),
        )
        for lit, compute in (("", _alone(function)), ("lit_", _alone(function, lit=True)))
    ),
)


@dataclass(frozen=True)
class Extras:
    """Scores that need something of the user's."""

    saturation: float | None = None  #: level at which the coarse sensor stopped counting
    edges: tuple[float, ...] = ()  #: of bins of brightness, ascending
    zones: bool = False  #: whether there are zones
    niqe_model: Any = None  #: of ``metrics.fit_niqe``
    min_peak: float | None = None  #: least peak of an isolated source


def _niqe(model: Any) -> Callable[[Pair], Any]:
    side = json.loads(model.options())["block_size"]

    def compute(pair: Pair) -> Any:
        if min(pair.truth.shape[-2:]) < side:
            return math.nan
        return metrics.niqe(pair.prediction, model=model, mask=pair.valid)

    return compute


def _core(saturation: float, statistic: str) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        return metrics.saturated_core_error(
            pair.prediction,
            pair.truth,
            saturation=saturation,
            statistic=statistic,
            mask=pair.valid,
        )

    return compute


def _bin(edges: tuple[float, ...], index: int, name: str) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        low, high = edges[index : index + 2]
        last = index + 2 == len(edges)
        inside = pair.truth >= low
        inside &= (pair.truth <= high) if last else (pair.truth < high)
        mask = pair.valid & inside
        if name == "pixels":
            return float(mask.sum())
        return getattr(metrics, name)(pair.prediction, pair.truth, mask=mask)

    return compute


def _city(name: str) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        if pair.zones is None:
            return math.nan
        line = metrics.city_regression(pair.prediction, pair.truth, pair.zones, mask=pair.valid)
        return getattr(line, name)

    return compute


def _sources(min_peak: float, name: str) -> Callable[[Pair], Any]:
    def compute(pair: Pair) -> Any:
        widths = metrics.source_widths(
            pair.prediction, pair.truth, min_peak=min_peak, mask=pair.valid
        )
        return getattr(metrics.source_width_means(widths), name)

    return compute


def _extra_columns(extras: Extras) -> Iterator[Column]:
    if extras.niqe_model is not None:
        yield Column("niqe", "NIQE", 3, _ALONE, _niqe(extras.niqe_model), "low")
    if extras.saturation is not None:
        yield Column("core_rmse", "core RMSE", 3, _CORES, _core(extras.saturation, "rmse"), "low")
        yield Column("core_bias", "core bias", 3, _CORES, _core(extras.saturation, "bias"), "zero")
    for i, (low, high) in enumerate(pairwise(extras.edges)):
        group = f"truth {low:g} to {high:g}"
        for name, digits, best in (
            ("pixels", 0, "none"),
            ("bias", 3, "zero"),
            ("mae", 3, "low"),
            ("rmse", 3, "low"),
        ):
            label = name.upper() if name in ("mae", "rmse") else name
            yield Column(f"bin{i}_{name}", label, digits, group, _bin(extras.edges, i, name), best)
    if extras.zones:
        yield Column("city_r2", "city R2", 4, _CITIES, _city("r2"), "high")
        yield Column("city_slope", "city slope", 3, _CITIES, _city("slope"), "one")
        yield Column("cities", "cities", 0, _CITIES, _city("zones"), "none")
    if extras.min_peak is not None:
        for key, label, digits, name, best in (
            ("source_width", "width, pixels", 2, "prediction", "none"),
            ("source_width_truth", "truth's width", 2, "target", "none"),
            ("source_width_rmse", "width RMSE", 2, "rmse", "low"),
            ("sources", "sources", 0, "sources", "none"),
            ("sources_measured", "measured", 0, "measured", "high"),
        ):
            yield Column(key, label, digits, _SOURCES, _sources(extras.min_peak, name), best)


def columns_of(everything: bool = False, extras: Extras | None = None) -> tuple[Column, ...]:
    """The columns of a table: those that matter most, or all; then those of the extras."""
    chosen = tuple(column for column in COLUMNS if everything or column.shown)
    return chosen + tuple(_extra_columns(extras or Extras()))


def grouped(columns: Sequence[Column]) -> Iterator[tuple[str, list[Column]]]:
    """Columns by group, groups in the order of their first columns."""
    for group in dict.fromkeys(column.group for column in columns):
        yield group, [column for column in columns if column.group == group]
