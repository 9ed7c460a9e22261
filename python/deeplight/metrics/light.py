"""Scores of night-light practice: lit pixels, saturated cores, brightness, cities, widths."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from deeplight._native import metrics as _scores
from deeplight.metrics.documented import documented
from deeplight.metrics.functional import _mask, _tensor

__all__ = [
    "BrightnessErrors",
    "CityRegression",
    "SourceWidthMeans",
    "SourceWidths",
    "ZoneSums",
    "city_regression",
    "errors_by_brightness",
    "lit_f1",
    "lit_precision",
    "lit_recall",
    "saturated_core_error",
    "source_width_means",
    "source_widths",
    "zone_sums",
]


class BrightnessErrors(NamedTuple):
    """Errors per bin of the target's brightness, ``[K]`` or ``[..., K]``."""

    pixels: torch.Tensor
    bias: torch.Tensor
    mae: torch.Tensor
    rmse: torch.Tensor


class ZoneSums(NamedTuple):
    """Valid pixels and sums of lights of zones, ``[Z]`` each."""

    labels: torch.Tensor
    pixels: torch.Tensor
    prediction: torch.Tensor
    target: torch.Tensor


class CityRegression(NamedTuple):
    """The line prediction = intercept + slope * target through the zones' sums of lights."""

    r2: torch.Tensor
    slope: torch.Tensor
    intercept: torch.Tensor
    zones: torch.Tensor


class SourceWidths(NamedTuple):
    """Full width at half maximum of isolated sources, pixels, ``[S]`` each."""

    plane: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor
    prediction: torch.Tensor
    target: torch.Tensor


class SourceWidthMeans(NamedTuple):
    """Isolated sources together, float64 scalars."""

    sources: torch.Tensor  #: isolated sources of the target
    measured: torch.Tensor  #: of them, those with a width on both sides
    prediction: torch.Tensor  #: mean width over the measured ones, pixels; NaN without any
    target: torch.Tensor
    rmse: torch.Tensor  #: of prediction - target, pixels


@documented()
def lit_precision(
    prediction: Any,
    target: Any,
    *,
    threshold: float | None = None,
    mask: Any = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Share of the prediction's lit pixels that are lit in the target.

    Returns:
        float64 in [0, 1]; 1 where neither side is lit, 0 where only one is, NaN without a valid
        pixel or when one is NaN.
    """
    return _scores.lit_precision(
        _tensor(prediction), _tensor(target), threshold, _mask(mask), reduction
    )


@documented()
def lit_recall(
    prediction: Any,
    target: Any,
    *,
    threshold: float | None = None,
    mask: Any = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Share of the target's lit pixels that are lit in the prediction.

    Returns:
        float64 in [0, 1]; 1 where neither side is lit, 0 where only one is, NaN without a valid
        pixel or when one is NaN.
    """
    return _scores.lit_recall(
        _tensor(prediction), _tensor(target), threshold, _mask(mask), reduction
    )


@documented()
def lit_f1(
    prediction: Any,
    target: Any,
    *,
    threshold: float | None = None,
    mask: Any = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Harmonic mean of lit precision and recall.

    Returns:
        float64 in [0, 1]; 1 where neither side is lit, 0 where only one is, NaN without a valid
        pixel or when one is NaN.
    """
    return _scores.lit_f1(_tensor(prediction), _tensor(target), threshold, _mask(mask), reduction)


@documented(
    saturation="that level in the images' units (63 for DMSP-OLS); needed.",
    statistic='``"rmse"``, ``"mae"`` or ``"bias"``.',
)
def saturated_core_error(
    prediction: Any,
    target: Any,
    *,
    saturation: float | None = None,
    statistic: str = "rmse",
    mask: Any = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Error over pixels whose target is at or above the level where the coarse sensor stops.

    Returns:
        float64 in the images' units; NaN without a valid core pixel.
    """
    return _scores.saturated_core_error(
        _tensor(prediction), _tensor(target), saturation, statistic, _mask(mask), reduction
    )


@documented(
    edges="K + 1 ascending values; bins are half open, the last one closed.",
    reduction='``"pooled"``, ``"none"`` or ``"mean"``.',
)
def errors_by_brightness(
    prediction: Any, target: Any, edges: Any, *, mask: Any = None, reduction: str = "pooled"
) -> BrightnessErrors:
    """Count, bias, MAE and RMSE per bin of the target's brightness."""
    values = [float(edge) for edge in edges]
    return BrightnessErrors(
        *_scores.errors_by_brightness(
            _tensor(prediction), _tensor(target), values, _mask(mask), reduction
        )
    )


@documented()
def zone_sums(prediction: Any, target: Any, zones: Any, *, mask: Any = None) -> ZoneSums:
    """Sums of lights of every zone with a label above 0; ``zones`` are integers."""
    return ZoneSums(
        *_scores.zone_sums(_tensor(prediction), _tensor(target), _tensor(zones), _mask(mask))
    )


@documented()
def city_regression(
    prediction: Any, target: Any, zones: Any, *, mask: Any = None
) -> CityRegression:
    """Regression of the prediction's sums of lights by zone on the target's."""
    return CityRegression(
        *_scores.city_regression(_tensor(prediction), _tensor(target), _tensor(zones), _mask(mask))
    )


@documented(
    prediction="``[..., H, W]``.",
    min_peak="least peak of a source in the target's units; needed.",
    radius="a source is the largest value this many pixels around.",
    dark="no pixel at that distance is brighter than this part of the peak.",
    shift="how far, in pixels, the prediction's peak may lie from the target's.",
)
def source_widths(
    prediction: Any,
    target: Any,
    *,
    min_peak: float | None = None,
    radius: int = 7,
    dark: float = 0.1,
    shift: int = 2,
    mask: Any = None,
) -> SourceWidths:
    """Full width at half maximum of isolated sources of the target, and of the prediction there."""
    return SourceWidths(
        *_scores.source_widths(
            _tensor(prediction), _tensor(target), min_peak, radius, dark, shift, _mask(mask)
        )
    )


@documented(widths="of :func:`source_widths`.", raises="the widths are not those of one call.")
def source_width_means(widths: SourceWidths) -> SourceWidthMeans:
    """How many sources there are, and how wide they are on average on both sides."""
    return SourceWidthMeans(*_scores.source_width_means(list(widths)))
