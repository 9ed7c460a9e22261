"""How every benchmark here measures: interleaved rounds, median ratio, bootstrap interval.

Three warm-ups, then rounds in random order; each round runs every contender once. The figure is
the median over rounds of rival time / own time, with a bootstrap 95 % interval.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Row:
    """One line of the table: `ratio` above 1 means that the library is faster."""

    item: str
    shape: str
    threads: int
    rival: str
    own_ms: float
    rival_ms: float
    ratio: float
    low: float
    high: float
    peak: float | None = None  # share of the machine's multiply-adds, where that is the bound


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _interval(values: list[float], generator: random.Random) -> tuple[float, float]:
    medians = sorted(
        statistics.median(generator.choices(values, k=len(values))) for _ in range(2000)
    )
    return medians[50], medians[1949]


def compare(
    own: Callable[[], object], rival: Callable[[], object], rounds: int = 15
) -> tuple[float, float, float, float, float]:
    """Own and rival milliseconds (medians), median ratio and its interval."""
    generator = random.Random(0)
    contenders = {"own": own, "rival": rival}
    for _ in range(3):
        for run in contenders.values():
            run()
    times: dict[str, list[float]] = {"own": [], "rival": []}
    for _ in range(rounds):
        order = list(contenders)
        generator.shuffle(order)
        for name in order:
            times[name].append(_seconds(contenders[name]))
    ratios = [b / a for a, b in zip(times["own"], times["rival"], strict=True)]
    low, high = _interval(ratios, generator)
    own_ms, rival_ms = (1e3 * statistics.median(times[name]) for name in ("own", "rival"))
    return own_ms, rival_ms, statistics.median(ratios), low, high
