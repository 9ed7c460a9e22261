"""Scores that accumulate, as torchmetrics: ``update``, ``compute``, ``reset``, ``merge``.

With torchmetrics installed they are its ``Metric``: they work inside ``MetricCollection`` and join
processes on ``compute``. Without it a small base of one's own does the same, collections aside.

``reduction`` is that of the functions, over everything that was given: ``"pooled"`` (batches, tiles
and processes count as one image; the default), ``"mean"`` (of the images' scores; an image without
a valid pixel has no vote) or ``"none"`` (one per image, in the order of processes and updates).
``lit_threshold`` makes a score lit: over pixels, windows or blocks whose target (for a score
without a reference: the image itself) is above it. Other keywords are the function's.

Example:
    >>> score = Psnr(data_range=255)
    >>> score.update(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 25.5))
    >>> round(score.compute().item(), 6)
    20.0
    >>> lit = Ssim(data_range=255, reduction="mean", lit_threshold=5)
    >>> lit.update(torch.ones(2, 1, 16, 16) * 9, torch.ones(2, 1, 16, 16) * 9)
    >>> lit.compute().item()
    1.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from deeplight import metrics as _functions
from deeplight.metrics.stateful import _added, _NoReference, _Pointwise, _Score, _Windowed
from deeplight.metrics.tables import CityRegression, ErrorsByBrightness, SourceWidths

__all__ = [
    "R2",
    "AverageGradient",
    "Bias",
    "Cc",
    "CityRegression",
    "Entropy",
    "Ergas",
    "ErrorsByBrightness",
    "GradientError",
    "LaplacianVariance",
    "LitF1",
    "LitPrecision",
    "LitRecall",
    "Mae",
    "MsSsim",
    "Niqe",
    "Piqe",
    "Psnr",
    "Rmse",
    "Rsd",
    "Sam",
    "SaturatedCoreError",
    "SourceWidths",
    "SpectralError",
    "Ssim",
    "TotalLightRatio",
    "Uiqi",
]

# What torchmetrics' own constructor takes; every other keyword is the score's.


class Psnr(_Pointwise):
    """:func:`deeplight.metrics.psnr`."""

    def __init__(self, data_range: float, **options: Any) -> None:
        super().__init__("psnr", {"data_range": float(data_range)}, **options)


class Rmse(_Pointwise):
    """:func:`deeplight.metrics.rmse`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("rmse", {}, **options)


class Mae(_Pointwise):
    """:func:`deeplight.metrics.mae`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("mae", {}, **options)


class Bias(_Pointwise):
    """:func:`deeplight.metrics.bias`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("bias", {}, **options)


class Rsd(_Pointwise):
    """:func:`deeplight.metrics.rsd`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("rsd", {}, **options)


class R2(_Pointwise):
    """:func:`deeplight.metrics.r2`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("r2", {}, **options)


class Cc(_Pointwise):
    """:func:`deeplight.metrics.cc`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("cc", {}, **options)


class TotalLightRatio(_Pointwise):
    """:func:`deeplight.metrics.total_light_ratio`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("total_light_ratio", {}, **options)


class LitPrecision(_Pointwise):
    """:func:`deeplight.metrics.lit_precision`."""

    def __init__(self, threshold: float, **options: Any) -> None:
        super().__init__("lit_precision", {"threshold": float(threshold)}, **options)


class LitRecall(_Pointwise):
    """:func:`deeplight.metrics.lit_recall`."""

    def __init__(self, threshold: float, **options: Any) -> None:
        super().__init__("lit_recall", {"threshold": float(threshold)}, **options)


class LitF1(_Pointwise):
    """:func:`deeplight.metrics.lit_f1`."""

    def __init__(self, threshold: float, **options: Any) -> None:
        super().__init__("lit_f1", {"threshold": float(threshold)}, **options)


class SaturatedCoreError(_Score):
    """:func:`deeplight.metrics.saturated_core_error`."""

    def __init__(self, saturation: float, statistic: str = "rmse", **options: Any) -> None:
        keywords = {"saturation": float(saturation), "statistic": statistic}
        made = ("SaturatedCoreErrorAccumulator", tuple(keywords.values()))
        super().__init__("saturated_core_error", made, keywords, **options)


class Ergas(_Score):
    """:func:`deeplight.metrics.ergas`; pooled scores are of images with `bands` bands."""

    def __init__(self, ratio: float, bands: int = 1, **options: Any) -> None:
        made = ("ErgasAccumulator", (float(ratio), bands))
        super().__init__("ergas", made, {"ratio": float(ratio)}, **options)


class Sam(_Score):
    """:func:`deeplight.metrics.sam`."""

    def __init__(
        self,
        vectors: str = "bands",
        unit: str = "radians",
        allow_one_band: bool = False,
        **options: Any,
    ) -> None:
        keywords = {"vectors": vectors, "unit": unit, "allow_one_band": allow_one_band}
        made = (
            ("ImageSamAccumulator", (unit,))
            if vectors == "image"
            else ("SamAccumulator", (unit, allow_one_band))
        )
        super().__init__("sam", made, keywords, **options)


class Ssim(_Windowed):
    """:func:`deeplight.metrics.ssim`; ``padding="reflect"`` has no pooled form."""

    def __init__(self, data_range: float, **options: Any) -> None:
        first = {"data_range": float(data_range)}
        if options.get("padding") == "reflect" and options.get("reduction", "pooled") != "pooled":
            options = {k: v for k, v in options.items() if k != "padding"}
            first["padding"] = "reflect"  # type: ignore[assignment]
        super().__init__("ssim", "SsimAccumulator", (float(data_range),), first, **options)


class MsSsim(_Windowed):
    """:func:`deeplight.metrics.ms_ssim`."""

    def __init__(self, data_range: float, **options: Any) -> None:
        if "weights" in options:
            options["weights"] = list(options["weights"])
        first = {"data_range": float(data_range)}
        super().__init__("ms_ssim", "MsSsimAccumulator", (float(data_range),), first, **options)


class Uiqi(_Windowed):
    """:func:`deeplight.metrics.uiqi`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("uiqi", "UiqiAccumulator", **options)


class GradientError(_Windowed):
    """:func:`deeplight.metrics.gradient_error`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("gradient_error", "GradientErrorAccumulator", **options)


class SpectralError(_Windowed):
    """:func:`deeplight.metrics.spectral_error`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("spectral_error", "SpectralAccumulator", **options)


class Piqe(_NoReference):
    """:func:`deeplight.metrics.piqe` of the prediction. Whole images only."""

    def __init__(self, **options: Any) -> None:
        super().__init__("piqe", "PiqeAccumulator", **options)

    def _empty(self) -> torch.Tensor:
        return torch.zeros(4, dtype=torch.double)

    def _join_pooled(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return _added

    def _add_pooled(self, images: Any, mask: Any, chosen: dict[str, Any]) -> None:
        blocks = _functions.piqe_blocks(images[0], mask=mask, **chosen, **self._keywords)
        state = getattr(self, self._state)
        distortion = blocks.distortion[blocks.counted].sum()
        zero = torch.zeros_like(distortion)
        counts = [blocks.active.sum().to(distortion), blocks.counted.sum().to(distortion)]
        seen = torch.stack([distortion, zero, *counts]).to(state)
        setattr(self, self._state, _added(torch.stack([state, seen])))

    def _pooled(self, state: torch.Tensor) -> torch.Tensor:
        if state[3] == 0:
            return state.new_tensor(float("nan"))
        return 100 * (state[0] + state[1] + 1) / (state[2] + 1)


class Niqe(_NoReference):
    """:func:`deeplight.metrics.niqe` of the prediction, with a model of ``fit_niqe``."""

    def __init__(self, model: Any, **options: Any) -> None:
        _Score.__init__(self, "niqe", ("NiqeAccumulator", (model,)), {"model": model}, **options)


class Entropy(_NoReference):
    """:func:`deeplight.metrics.entropy` of the prediction."""

    _windows = False

    def __init__(self, data_range: float, **options: Any) -> None:
        first = {"data_range": float(data_range)}
        super().__init__("entropy", "EntropyAccumulator", (float(data_range),), first, **options)


class AverageGradient(_NoReference):
    """:func:`deeplight.metrics.average_gradient` of the prediction."""

    def __init__(self, **options: Any) -> None:
        made = ("AverageGradientAccumulator", ())
        _Score.__init__(self, "average_gradient", made, {}, **options)


class LaplacianVariance(_NoReference):
    """:func:`deeplight.metrics.laplacian_variance` of the prediction."""

    def __init__(self, **options: Any) -> None:
        made = ("LaplacianVarianceAccumulator", ())
        _Score.__init__(self, "laplacian_variance", made, {}, **options)
