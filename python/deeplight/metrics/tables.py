"""Accumulating scores that are more than one number: bins of brightness, cities, sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from deeplight import metrics as _functions
from deeplight.metrics.functional import _mask, _tensor
from deeplight.metrics.stateful import _filled, _read, _Score

__all__ = ["CityRegression", "ErrorsByBrightness", "SourceWidths"]


def _pooled_only(name: str, options: dict[str, Any], *more: str) -> None:
    """Refuses what a score of everything together does not have."""
    for option in ("reduction", *more):
        if options.get(option, "pooled") != "pooled":
            raise ValueError(
                f"{name}: is one table over everything that it was given; leave {option} out"
            )


class ErrorsByBrightness(_Score):
    """:func:`deeplight.metrics.errors_by_brightness`.

    ``compute`` gives its ``BrightnessErrors``, ``[K]`` each; with ``reduction="none"`` ``[N, K]``,
    one row per image.
    """

    def __init__(self, edges: Sequence[float], **options: Any) -> None:
        """Sets the bins.

        Args:
            edges: of the bins of the truth's brightness, ascending, in its units.
            options: ``reduction``, and torchmetrics' own.
        """
        values = [float(edge) for edge in edges]
        made = ("ErrorsByBrightnessAccumulator", (values,))
        super().__init__("errors_by_brightness", made, {"edges": values}, **options)

    def _mean_state(self) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        return self._empty(), self._join_pooled()

    def update(
        self, prediction: Any, target: Any = None, mask: Any = None, where: Any = None
    ) -> None:
        """Adds images; arguments as of every score."""
        images, mask, _ = self._arguments(prediction, target, _mask(mask), _mask(where))
        if self._reduction == "pooled":
            self._add_pooled(images, mask, {})
            return
        errors = self._function(*images, mask=mask, reduction="none")
        table = torch.stack(list(errors), -1).flatten(0, -3)  # [N, K, 4]
        if self._reduction == "none":
            getattr(self, self._state).append(table)
            return
        seen = table[..., :1] > 0
        sums = torch.where(seen, table, 0.0).sum(0, keepdim=True)
        sums[..., :1] = seen.sum(0)
        state = getattr(self, self._state)
        fresh = torch.stack([sums, torch.zeros_like(sums)], -1).to(state)
        setattr(self, self._state, self._join_pooled()(torch.stack([state, fresh])))

    def compute(self) -> _functions.BrightnessErrors:
        """Over everything, float64; NaN in bins without a pixel."""
        state = getattr(self, self._state)
        if self._reduction == "none":
            parts = state if isinstance(state, list) else [state]
            bins = len(self._keywords["edges"]) - 1
            table = torch.cat(parts) if parts else torch.zeros(0, bins, 4, dtype=torch.double)
        elif self._reduction == "mean":
            sums = state[0].sum(-1)
            table = torch.cat([sums[:, :1], sums[:, 1:] / sums[:, :1]], 1)
        else:
            assert self._make is not None
            table = _filled(self._make, state).compute()
        return _functions.BrightnessErrors(*table.unbind(-1))


class CityRegression(_Score):
    """:func:`deeplight.metrics.city_regression` of zones whose labels are known beforehand."""

    def __init__(self, labels: int | Sequence[int], **options: Any) -> None:
        """Names the zones.

        Args:
            labels: of the zones that count, ascending; or their number, for labels from 1 on.
            options: ``lit_threshold``, and torchmetrics' own.

        Raises:
            ValueError: no label, labels do not ascend, or a reduction other than pooled.
        """
        _pooled_only("city_regression", options)
        listed = range(1, labels + 1) if isinstance(labels, int) else labels
        known = [int(label) for label in listed]
        made = ("ZoneAccumulator", (torch.tensor(known, dtype=torch.long),))
        super().__init__("city_regression", made, {"labels": known}, **options)

    def update(
        self,
        prediction: Any,
        target: Any = None,
        mask: Any = None,
        where: Any = None,
        zones: Any = None,
    ) -> None:
        """Adds images with their zones, by keyword: a collection hands them to this score alone.

        Args:
            prediction: the images.
            target: the truth, the same shape.
            mask: valid pixels.
            where: must be None; there are no windows.
            zones: integer labels that broadcast to the images; needed.
        """
        images, mask, _ = self._arguments(prediction, target, _mask(mask), _mask(where))
        if zones is None:
            raise ValueError("CityRegression: zones are needed, the label of every pixel's city")
        assert self._make is not None
        state = getattr(self, self._state)
        cities = _filled(self._make, state)
        cities.update(*images, _tensor(zones), mask)
        setattr(self, self._state, _read(cities).to(state.device))

    def compute(self) -> _functions.CityRegression:
        """The line through the sums of lights of all zones that have a valid pixel."""
        assert self._make is not None
        cities = _filled(self._make, getattr(self, self._state))
        return _functions.CityRegression(*cities.compute())


class SourceWidths(_Score):
    """:func:`deeplight.metrics.source_width_means` of the isolated sources of whole images."""

    def __init__(
        self, min_peak: float, radius: int = 7, dark: float = 0.1, shift: int = 2, **options: Any
    ) -> None:
        """Says what an isolated source is; arguments as of ``source_widths``.

        Raises:
            ValueError: a reduction or lit threshold; there is one table over everything.
        """
        _pooled_only("source_widths", options, "lit_threshold")
        options.pop("lit_threshold", None)
        keywords = {"min_peak": float(min_peak), "radius": radius, "dark": dark, "shift": shift}
        made = ("SourceWidthAccumulator", tuple(keywords.values()))
        super().__init__("source_widths", made, keywords, **options)

    def compute(self) -> _functions.SourceWidthMeans:
        """Counts and means over all sources; NaN without one that was measured."""
        assert self._make is not None
        widths = _filled(self._make, getattr(self, self._state))
        return _functions.SourceWidthMeans(*widths.compute())
