"""Learning-rate schedules: pure functions of the step, so that a resumed run needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deeplight.training.schema import OptimizerConfig

__all__ = [
    "Rates",
    "cosine_restarts",
    "one_cycle",
    "rates_at",
    "warmup_constant",
    "warmup_cosine",
]

#: AdamW's first beta under ``one_cycle``: high where the rate is low, low at its peak.
_SLOW_MOMENTUM, _FAST_MOMENTUM = 0.95, 0.85


@dataclass(frozen=True)
class Rates:
    """What the optimizer uses in one step: learning rate, and AdamW's first beta."""

    lr: float
    momentum: float


def rates_at(optimizer: OptimizerConfig, step: int, steps: int) -> Rates:
    """The rates of a step.

    Args:
        optimizer: names the schedule.
        step: 0 for the first one.
        steps: of the whole run.
    """
    warmup, floor, momentum = optimizer.warmup, optimizer.floor, optimizer.betas[0]
    if optimizer.schedule == "one_cycle":
        height = one_cycle(step, steps, warmup)
        factor = floor + (1 - floor) * height
        momentum = _SLOW_MOMENTUM + (_FAST_MOMENTUM - _SLOW_MOMENTUM) * height
    elif optimizer.schedule == "constant":
        factor = warmup_constant(step, warmup)
    else:
        factor = cosine_restarts(step, steps, warmup, floor, optimizer.cycles)
    return Rates(optimizer.lr * factor, momentum)


def warmup_cosine(step: int, steps: int, warmup: int, floor: float) -> float:
    """Linear warm-up, then half a cosine down to ``floor``.

    Args:
        step: 0 for the first one.
        steps: of the whole run.
        warmup: steps of rising; the last of them reaches 1.
        floor: factor at the last step.

    Returns:
        A factor in [0, 1].
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step + 1 - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def cosine_restarts(step: int, steps: int, warmup: int, floor: float, cycles: int) -> float:
    """Linear warm-up, then ``cycles`` halves of a cosine of equal length, each from 1 to ``floor``.

    Warm restarts (Loshchilov and Hutter 2017, arXiv 1608.03983) without growing cycles; the warm-up
    counts to the first. One cycle is :func:`warmup_cosine`.
    """
    length = -(-steps // cycles)
    cycle = step // length
    start = cycle * length
    return warmup_cosine(
        step - start, min(length, steps - start), warmup if cycle == 0 else 0, floor
    )


def warmup_constant(step: int, warmup: int) -> float:
    """Linear warm-up whose last step reaches 1, then 1."""
    return (step + 1) / warmup if step < warmup else 1.0


def one_cycle(step: int, steps: int, warmup: int) -> float:
    """Height of the cycle in [0, 1]: half a cosine up over ``warmup`` steps, half a cosine down.

    Smith and Topin 2017, with cosines for the straight lines. The last step of the warm-up reaches
    1, the last step of the run 0.
    """
    if step < warmup:
        return 0.5 * (1 - math.cos(math.pi * (step + 1) / warmup))
    return warmup_cosine(step, steps, warmup, 0.0)
