"""Learning-rate schedules: the factor of a step as a pure function; resume needs no state."""

from __future__ import annotations

import math

__all__ = ["warmup_cosine"]


def warmup_cosine(step: int, steps: int, warmup: int, floor: float) -> float:
    """Linear warm-up, then half a cosine down to ``floor``.

    Args:
        step: 0 for the first one.
        steps: of the whole run.
        warmup: steps of rising; the last of them reaches 1.
        floor: factor at the last step.

    Returns:
        A factor in (0, 1].
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step + 1 - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
