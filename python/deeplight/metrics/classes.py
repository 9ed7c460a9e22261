"""Scores that accumulate, as torchmetrics: ``update``, ``compute``, ``reset``, ``merge``.

Needs torchmetrics. The classes work inside ``MetricCollection`` and join processes on ``compute``.
The value is that of ``reduction="pooled"`` over everything that was given: batches, tiles and
processes count as one image. The state is that of the native accumulator.

Example:
    >>> score = Psnr(data_range=255)
    >>> score.update(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 25.5))
    >>> round(score.compute().item(), 6)
    20.0
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import torch
from torchmetrics import Metric

from deeplight._native import metrics as _scores

__all__ = [
    "R2",
    "Bias",
    "Cc",
    "LitF1",
    "LitPrecision",
    "LitRecall",
    "Mae",
    "Psnr",
    "Rmse",
    "Rsd",
    "TotalLightRatio",
]


def _joined(name: str, constants: tuple[float, ...], states: torch.Tensor) -> torch.Tensor:
    accumulator = getattr(_scores, name)(*constants)
    for state in states:
        accumulator.merge_state(state.double())
    return accumulator.state


class _Score(Metric):
    is_differentiable = False
    full_state_update = False

    def __init__(self, *constants: float, **options: Any) -> None:
        super().__init__(**options)
        self._native = (f"{type(self).__name__}Accumulator", constants)
        # MetricCollection shares the states of metrics whose first values agree: not by chance.
        words = [type(self).__name__, *map(repr, constants)]
        self._state = re.sub(r"\W", "_", "_".join(words).replace("-", "m")).lower()
        default = self._accumulator().state
        self.add_state(self._state, default, dist_reduce_fx=partial(_joined, *self._native))

    def _accumulator(self) -> Any:
        name, constants = self._native
        return getattr(_scores, name)(*constants)

    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: Any = None) -> None:
        """Adds every valid pixel of ``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``."""
        accumulator = self._accumulator()
        accumulator.state = getattr(self, self._state)
        accumulator.update(prediction, target, mask)
        setattr(self, self._state, accumulator.state)

    def compute(self) -> torch.Tensor:
        """The score over everything, float64; NaN when nothing was valid."""
        accumulator = self._accumulator()
        accumulator.state = getattr(self, self._state)
        return accumulator.compute()

    def merge(self, other: _Score) -> None:
        """Adds what another score of the same class and constants has seen."""
        self.merge_state(other)


class _LitScore(_Score):
    def __init__(self, threshold: float, **options: Any) -> None:
        super().__init__(float(threshold), **options)


class Psnr(_Score):
    """:func:`deeplight.metrics.psnr`."""

    def __init__(self, data_range: float, **options: Any) -> None:
        super().__init__(float(data_range), **options)


class Rmse(_Score):
    """:func:`deeplight.metrics.rmse`."""


class Mae(_Score):
    """:func:`deeplight.metrics.mae`."""


class Bias(_Score):
    """:func:`deeplight.metrics.bias`."""


class Rsd(_Score):
    """:func:`deeplight.metrics.rsd`."""


class R2(_Score):
    """:func:`deeplight.metrics.r2`."""


class Cc(_Score):
    """:func:`deeplight.metrics.cc`."""


class TotalLightRatio(_Score):
    """:func:`deeplight.metrics.total_light_ratio`."""


class LitPrecision(_LitScore):
    """:func:`deeplight.metrics.lit_precision`."""


class LitRecall(_LitScore):
    """:func:`deeplight.metrics.lit_recall`."""


class LitF1(_LitScore):
    """:func:`deeplight.metrics.lit_f1`."""
